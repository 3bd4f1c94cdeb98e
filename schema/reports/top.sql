-- Which stale windows were the longest, what left them and what closed them?
-- by: trace, domain, device, task
-- needs: replay
-- nothing found: no stale window: no policy that was replayed left one
-- Parameters: :trace a trace's name, NULL for all; :by 'trace' (the default), 'domain', 'device' or 'task'.
-- The ten longest of each policy and trace, domain, device or task, out of those that the replay kept (--windows).
WITH ranked AS (
    SELECT
        stale_window.id,
        row_number() OVER (
            PARTITION BY stale_window.replay, CASE WHEN :by = 'domain' THEN stale_window.domain
                WHEN :by = 'device' THEN stale_window.device WHEN :by = 'task' THEN operation.task END
            ORDER BY stale_window.closed_ns - stale_window.opened_ns DESC, stale_window.operation, stale_window.iova
        ) AS rank
    FROM stale_window
    JOIN replay ON replay.id = stale_window.replay
    JOIN trace ON trace.id = replay.trace
    LEFT JOIN operation ON :by = 'task' AND operation.id = stale_window.operation
    WHERE stale_window.closed_ns IS NOT NULL AND NOT stale_window.uncertain AND (:trace IS NULL OR trace.name = :trace)
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
    found.unmap_place,
    found.closed_place,
    found.evidence,
    replay.windows_left_out
FROM ranked
JOIN what_was_stale AS found USING (id)
JOIN stale_window USING (id)
JOIN replay ON replay.id = stale_window.replay
WHERE ranked.rank <= 10
ORDER BY stale_window.replay,
    CASE WHEN :by = 'domain' THEN stale_window.domain WHEN :by = 'device' THEN stale_window.device END,
    CASE WHEN :by = 'task' THEN found.task END, ranked.rank;
