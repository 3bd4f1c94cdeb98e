-- Where does what was told of a recording contradict its events, or itself?
-- by: trace
-- nothing found: no contradiction: what was told of the recordings agrees with their events
-- tables leave out: conflict, told, told_as, told_by, found, found_by, count, which, because
-- tables add: message
-- Parameters: :trace a trace's name, NULL for all.
-- The view what_disagrees says what each column holds.
SELECT
    trace.name AS trace,
    what_disagrees.subject,
    what_disagrees.conflict,
    what_disagrees.told,
    what_disagrees.told_as,
    what_disagrees.told_by,
    what_disagrees.found,
    what_disagrees.found_by,
    what_disagrees.count,
    what_disagrees.which,
    what_disagrees.because,
    what_disagrees.evidence
FROM what_disagrees
JOIN trace ON trace.id = what_disagrees.trace
WHERE :trace IS NULL OR trace.name = :trace
ORDER BY trace.id, what_disagrees.subject, what_disagrees.conflict, what_disagrees.told, what_disagrees.found, what_disagrees.told_as,
    what_disagrees.told_by;
