-- Where does what was told of a recording contradict its events, or itself?
-- by: trace
-- nothing found: no contradiction: what was told of the recordings agrees with their events
-- Parameters: :trace a trace's name, NULL for all.
SELECT
    trace.name AS trace,
    what_disagrees.subject,
    what_disagrees.told,
    what_disagrees.told_by,
    what_disagrees.message,
    what_disagrees.evidence
FROM what_disagrees
JOIN trace ON trace.id = what_disagrees.trace
WHERE :trace IS NULL OR trace.name = :trace
ORDER BY trace.id, what_disagrees.subject, what_disagrees.message;
