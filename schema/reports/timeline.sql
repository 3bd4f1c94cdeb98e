-- How many pages were stale, and how many flushes happened, in the course of time?
-- by: trace, domain, device, task
-- needs: replay
-- tables leave out: options
-- Parameters: :trace a trace's name, NULL for all; :by 'trace' (the default), 'domain', 'device' or 'task'.
-- Reads the replays' summaries only: 128 equal steps, stale_pages their average within the step.
WITH RECURSIVE
number(step) AS (SELECT 0 UNION ALL SELECT step + 1 FROM number WHERE step < 127),
told AS (
    SELECT
        timeline.replay,
        CASE WHEN :by = 'domain' THEN timeline.domain WHEN :by = 'device' THEN coalesce(timeline.device, 0)
            WHEN :by = 'task' THEN coalesce(timeline.task, 0) ELSE 0 END AS member,
        timeline.start_ns, total(timeline.page_ns) AS page_ns,
        sum(timeline.windows) AS windows, CAST(total(timeline.pages) AS INTEGER) AS pages,
        CAST(total(timeline.flushes) AS INTEGER) AS flushes
    FROM timeline
    JOIN replay ON replay.id = timeline.replay
    JOIN trace ON trace.id = replay.trace
    WHERE :trace IS NULL OR trace.name = :trace
    GROUP BY 1, 2, 3
),
member AS (SELECT DISTINCT replay, member FROM told),
step AS (
    SELECT member.replay, member.member, replay.first_ns + number.step * replay.step_ns AS start_ns
    FROM member
    JOIN replay ON replay.id = member.replay
    CROSS JOIN number
    WHERE replay.flushes IS NOT NULL AND replay.first_ns + number.step * replay.step_ns <= replay.last_ns
)
SELECT
    trace.name AS trace,
    CASE WHEN :by = 'domain' THEN domain.name END AS domain,
    CASE WHEN :by = 'device' THEN coalesce(device.name, 'unknown') END AS device,
    CASE WHEN :by = 'task' THEN coalesce(task.comm || '-' || task.pid, 'unknown') END AS task,
    replay.policy,
    replay.requested,
    step.start_ns,
    replay.step_ns,
    round(coalesce(told.page_ns, 0.0) / replay.step_ns, 3) AS stale_pages,
    coalesce(told.windows, 0) AS windows_opened,
    coalesce(told.pages, 0) AS pages_unmapped,
    coalesce(told.flushes, 0) AS flushes,
    round(coalesce(told.windows, 0) * 1e9 / replay.step_ns, 1) AS windows_per_second,
    round(coalesce(told.flushes, 0) * 1e9 / replay.step_ns, 1) AS flushes_per_second,
    replay.evidence,
    replay.options
FROM step
JOIN replay ON replay.id = step.replay
JOIN trace ON trace.id = replay.trace
LEFT JOIN told ON told.replay = step.replay AND told.member = step.member AND told.start_ns = step.start_ns
LEFT JOIN domain ON :by = 'domain' AND domain.id = step.member
LEFT JOIN device ON :by = 'device' AND device.id = step.member
LEFT JOIN task ON :by = 'task' AND task.id = step.member
ORDER BY step.replay, step.member, step.start_ns;
