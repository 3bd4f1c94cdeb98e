-- Which stale windows were the longest of those that were closed, what left them and what closed them?
-- by: trace, domain, device, task
-- needs: windows
-- tables leave out: options
-- nothing found: no stale window that closed: report windows counts those that are open at the end of the log, or in which events were lost
-- Parameters: :trace a trace's name, NULL for all; :by 'trace' (the default), 'domain', 'device' or 'task'.
-- The ten longest of each policy and trace, domain, device or task, out of those that the replay kept (--windows; windows_left_out: how
-- many it did not keep).
WITH
-- How long the tenth longest of each replay is: what is shorter need not be put in order.
least AS MATERIALIZED (
    SELECT replay.id AS replay, (
        SELECT min(longest.length_ns)
        FROM (
            SELECT stale_window.closed_ns - stale_window.opened_ns AS length_ns
            FROM stale_window
            WHERE +stale_window.replay = replay.id AND stale_window.closed_ns IS NOT NULL AND NOT stale_window.uncertain
            ORDER BY length_ns DESC
            LIMIT 10
        ) AS longest
    ) AS length_ns
    FROM replay
    JOIN trace ON trace.id = replay.trace
    WHERE coalesce(:by, 'trace') NOT IN ('domain', 'device', 'task') AND (:trace IS NULL OR trace.name = :trace)
),
-- Each window with the group that it is ranked in: only numbers, for there may be many.
counted AS (
    SELECT
        stale_window.id, stale_window.replay, stale_window.operation, stale_window.iova,
        stale_window.closed_ns - stale_window.opened_ns AS length_ns,
        CASE :by WHEN 'domain' THEN stale_window.domain WHEN 'device' THEN stale_window.device
            WHEN 'task' THEN operation.task END AS member
    FROM stale_window
    LEFT JOIN operation ON :by = 'task' AND operation.id = stale_window.operation
    WHERE stale_window.closed_ns IS NOT NULL AND NOT stale_window.uncertain
        AND (
            :trace IS NULL
            OR stale_window.replay IN (SELECT replay.id FROM replay JOIN trace ON trace.id = replay.trace WHERE trace.name = :trace)
        )
        AND (
            :by IN ('domain', 'device', 'task')
            OR stale_window.closed_ns - stale_window.opened_ns >= (SELECT least.length_ns FROM least WHERE least.replay = stale_window.replay)
        )
),
ranked AS (
    SELECT
        id, row_number() OVER (PARTITION BY replay, member ORDER BY length_ns DESC, operation, iova) AS rank
    FROM counted
)
SELECT
    found.trace,
    found.domain,
    found.device,
    found.task,
    found.policy,
    found.requested,
    ranked.rank,
    found.length_ns,
    found.iova,
    (found.size + 4095) / 4096 AS pages,
    found.opened_ns,
    found.closed_ns,
    found.ended,
    found.mapped_by,
    found.opened_ns - found.mapped_ns AS mapped_for_ns,
    found.map_place,
    found.unmap_place,
    found.closed_place,
    found.evidence,
    replay.windows_left_out,
    replay.options
FROM ranked
JOIN what_was_stale AS found USING (id)
JOIN stale_window USING (id)
JOIN replay ON replay.id = stale_window.replay
WHERE ranked.rank <= 10
ORDER BY stale_window.replay,
    CASE WHEN :by = 'domain' THEN stale_window.domain WHEN :by = 'device' THEN stale_window.device END,
    CASE WHEN :by = 'task' THEN found.task END, ranked.rank;
