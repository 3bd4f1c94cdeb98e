-- What in the logs could not be taken as it stands, and where are events missing?
-- by: trace
-- nothing found: no issue: everything in the logs could be taken as it stands
-- Parameters: :trace a trace's name, NULL for all.
-- count: of an issue all of its reason, of which at most 10,000 are kept as rows; of events lost, how many. 'no …': events that must have been
-- there, because others are that follow from them, implied_by.
-- tables add: excerpt
SELECT
    trace.name AS trace,
    (SELECT place FROM where_in_the_log WHERE trace = trace.id AND line = parse_issue.line) AS place,
    parse_issue.byte_offset,
    parse_issue.reason,
    NULL AS cpu,
    parse_issue_count.count,
    parse_issue.excerpt,
    NULL AS implied_by,
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
    'events lost',
    lost_events.cpu,
    lost_events.count,
    NULL,
    NULL,
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
    NULL,
    trace.buffer_written - trace.buffer_entries,
    'entries-in-buffer/entries-written: ' || trace.buffer_entries || '/' || trace.buffer_written,
    NULL,
    'recorded'
FROM trace
WHERE trace.buffer_written > trace.buffer_entries AND (:trace IS NULL OR trace.name = :trace)
UNION ALL
SELECT
    what_must_have_happened.trace,
    trace.source,
    NULL,
    'no ' || what_must_have_happened.what,
    NULL,
    what_must_have_happened.missing,
    NULL,
    what_must_have_happened.implied_by,
    what_must_have_happened.evidence
FROM what_must_have_happened
JOIN trace ON trace.name = what_must_have_happened.trace
WHERE :trace IS NULL OR trace.name = :trace
ORDER BY 1, 4, 2;
