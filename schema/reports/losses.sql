-- What is known to be missing from the logs, and what of it do they not announce?
-- by: trace
-- tables add: reason
-- nothing found: no loss: no log announces lost events, and none are known to be missing
-- Parameters: :trace a trace's name, NULL for all.
-- silent: events that the log announces nowhere; NULL where that cannot be told. Overruns of the buffer are those that the header or
-- the announcements tell of, as far as these go: the rows are not to be added up. 'no …': events that must have been there, because others
-- are that follow from them, implied_by.
WITH found AS (
    SELECT
        what_is_missing.trace AS id,
        what_is_missing.what,
        what_is_missing.line,
        (SELECT place FROM where_in_the_log WHERE trace = trace.id AND line = what_is_missing.line) AS place,
        what_is_missing.cpu,
        what_is_missing.probe,
        what_is_missing.events,
        what_is_missing.silent,
        what_is_missing.source AS told_by,
        NULL AS implied_by,
        'recorded' AS evidence
    FROM what_is_missing
    JOIN trace ON trace.id = what_is_missing.trace
    WHERE :trace IS NULL OR trace.name = :trace
    UNION ALL
    SELECT
        trace.id,
        'no ' || what_must_have_happened.what,
        NULL,
        NULL,
        NULL,
        NULL,
        what_must_have_happened.missing,
        what_must_have_happened.missing,
        'log',
        what_must_have_happened.implied_by,
        what_must_have_happened.evidence
    FROM what_must_have_happened
    JOIN trace ON trace.name = what_must_have_happened.trace
    WHERE :trace IS NULL OR trace.name = :trace
)
SELECT trace.name AS trace, found.what, found.place, found.cpu, found.probe, found.events, found.silent, found.told_by, found.implied_by,
    found.evidence
FROM found
JOIN trace ON trace.id = found.id
ORDER BY trace.id, found.line IS NULL, found.line, found.what, found.cpu, found.probe;
