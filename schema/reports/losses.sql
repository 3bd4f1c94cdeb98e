-- What is known to be missing from the logs, and what of it do they not announce?
-- by: trace
-- Parameters: :trace a trace's name, NULL for all.
-- silent: events that the log announces nowhere; NULL where that cannot be told. Overruns of the buffer are those that the header or
-- the announcements tell of, as far as these go: the rows are not to be added up.
SELECT
    trace.name AS trace,
    what_is_missing.what,
    CASE WHEN what_is_missing.line IS NOT NULL THEN trace.source || ':' || what_is_missing.line END AS place,
    what_is_missing.cpu,
    what_is_missing.probe,
    what_is_missing.events,
    what_is_missing.silent,
    what_is_missing.source AS told_by,
    'recorded' AS evidence
FROM what_is_missing
JOIN trace ON trace.id = what_is_missing.trace
WHERE :trace IS NULL OR trace.name = :trace
ORDER BY trace.id, what_is_missing.line IS NULL, what_is_missing.line, what_is_missing.what, what_is_missing.cpu,
    what_is_missing.probe;
