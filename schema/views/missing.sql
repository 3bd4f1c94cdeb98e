-- What is known to be missing from the logs? What they announce, what their headers tell, and what was only counted: by the ring
-- buffer for each CPU, and by kprobe_profile for each probe. silent: how many of them the log announces nowhere, NULL where that
-- cannot be told. The counters have no place in the log: windows are marked uncertain for announced losses only.
CREATE VIEW what_is_missing AS
WITH counted AS (
    -- Two sources may have counted the same.
    SELECT trace, cpu, max(coalesce(overrun, 0)) AS overrun, max(coalesce(dropped, 0)) AS dropped,
        max(coalesce(commit_overrun, 0)) AS nested, group_concat(DISTINCT source) AS source
    FROM buffer_counter
    GROUP BY trace, cpu
), announced AS (
    SELECT trace, cpu, sum(count) AS events, max(count IS NULL) AS is_vague
    FROM lost_events
    GROUP BY trace, cpu
), overrun AS (
    SELECT trace, sum(overrun) AS events FROM counted GROUP BY trace
), vague AS (
    SELECT DISTINCT trace FROM lost_events WHERE cpu IS NULL
), told AS (
    SELECT counted.*,
        max(coalesce(trace.buffer_written - trace.buffer_entries, 0), 0) AS before_begin,
        overrun.events AS overruns,
        coalesce(announced.events, 0) AS announced,
        coalesce(announced.is_vague, 0) OR vague.trace IS NOT NULL AS is_vague
    FROM counted
    JOIN trace ON trace.id = counted.trace
    JOIN overrun ON overrun.trace = counted.trace
    LEFT JOIN vague ON vague.trace = counted.trace
    LEFT JOIN announced ON announced.trace = counted.trace AND announced.cpu = counted.cpu
)
SELECT trace, 'announced' AS what, line, cpu, NULL AS probe, count AS events, 0 AS silent, 'log' AS source
FROM lost_events
UNION ALL
SELECT id, 'overwritten before the log begins', 1, NULL, NULL, buffer_written - buffer_entries, 0, 'log'
FROM trace
WHERE buffer_written > buffer_entries
UNION ALL
SELECT trace, 'overrun', NULL, cpu, NULL, overrun,
    CASE
        WHEN before_begin >= overruns OR announced >= overrun THEN 0
        WHEN before_begin > 0 OR is_vague THEN NULL
        ELSE overrun - announced
    END,
    source
FROM told
WHERE overrun > 0
UNION ALL
SELECT trace, 'dropped', NULL, cpu, NULL, dropped,
    CASE WHEN is_vague THEN NULL ELSE max(dropped - max(announced - overrun, 0), 0) END,
    source
FROM told
WHERE dropped > 0
UNION ALL
SELECT trace, 'commit overrun', NULL, cpu, NULL, nested, nested, source
FROM told
WHERE nested > 0
UNION ALL
SELECT trace, 'missed by a probe', NULL, NULL, probe, missed, missed, source
FROM probe_counter
WHERE missed > 0;
