-- What in the logs could not be taken as it stands, and where are events missing?
-- by: trace
-- nothing found: no issue: everything in the logs could be taken as it stands
-- Parameters: :trace a trace's name, NULL for all.
-- count is the number of all issues of that reason, of which at most 10,000 are kept as rows.
SELECT
    trace.name AS trace,
    (SELECT place FROM where_in_the_log WHERE trace = trace.id AND line = parse_issue.line) AS place,
    parse_issue.byte_offset,
    parse_issue.reason,
    parse_issue_count.count,
    parse_issue.excerpt,
    'recorded' AS evidence
FROM parse_issue
JOIN trace ON trace.id = parse_issue.trace
LEFT JOIN parse_issue_count USING (trace, reason)
WHERE :trace IS NULL OR trace.name = :trace
UNION ALL
SELECT
    trace.name,
    (SELECT place FROM where_in_the_log WHERE trace = trace.id AND line = lost_events.line),
    NULL,
    'events lost' || coalesce(' on CPU ' || lost_events.cpu, ''),
    lost_events.count,
    'the log announces it here',
    'recorded'
FROM lost_events
JOIN trace ON trace.id = lost_events.trace
WHERE :trace IS NULL OR trace.name = :trace
UNION ALL
SELECT
    trace.name,
    trace.source || ':1',
    NULL,
    'events lost before the log begins',
    trace.buffer_written - trace.buffer_entries,
    'header: entries-in-buffer/entries-written: ' || trace.buffer_entries || '/' || trace.buffer_written,
    'recorded'
FROM trace
WHERE trace.buffer_written > trace.buffer_entries AND (:trace IS NULL OR trace.name = :trace)
UNION ALL
SELECT
    what_must_have_happened.trace,
    trace.source,
    NULL,
    'no ' || what_must_have_happened.what || ' where there must have been one',
    what_must_have_happened.missing,
    what_must_have_happened.reason,
    what_must_have_happened.evidence
FROM what_must_have_happened
JOIN trace ON trace.name = what_must_have_happened.trace
WHERE :trace IS NULL OR trace.name = :trace
ORDER BY 1, 4, 2;
