-- How much was mapped and unmapped, and how much stayed mapped, in the course of time?
-- by: trace, domain, device, task
-- needs: whole replay
-- Parameters: :trace a trace's name, NULL for all; :by 'trace' (the default), 'domain', 'device' or 'task'.
-- Reads summaries that a replay keeps: 128 equal steps. What is live is as of the end of the step, and counts for who mapped it.
WITH RECURSIVE
number(step) AS (SELECT 0 UNION ALL SELECT step + 1 FROM number WHERE step < 127),
span AS (
    SELECT id AS trace, name, first_ns, last_ns, max(last_ns - first_ns, 0) / 128 + 1 AS step_ns
    FROM trace
    WHERE :trace IS NULL OR name = :trace
),
told AS (
    SELECT
        churn_step.trace,
        CASE WHEN :by = 'domain' THEN churn_step.domain WHEN :by = 'device' THEN coalesce(churn_step.device, 0)
            WHEN :by = 'task' THEN coalesce(churn_step.task, 0) ELSE 0 END AS member,
        churn_step.start_ns, sum(churn_step.maps) AS maps, sum(churn_step.unmaps) AS unmaps,
        CAST(total(churn_step.mapped_bytes) AS INTEGER) AS mapped_bytes,
        CAST(total(churn_step.unmapped_bytes) AS INTEGER) AS unmapped_bytes,
        sum(churn_step.mappings_change) AS mappings, CAST(total(churn_step.bytes_change) AS INTEGER) AS bytes
    FROM churn_step
    JOIN span ON span.trace = churn_step.trace
    GROUP BY 1, 2, 3
),
member AS (SELECT DISTINCT trace, member FROM told),
step AS (
    SELECT span.trace, span.name, span.step_ns, member.member, span.first_ns + number.step * span.step_ns AS start_ns
    FROM member
    JOIN span ON span.trace = member.trace
    CROSS JOIN number
    WHERE span.first_ns + number.step * span.step_ns <= span.last_ns
)
SELECT
    step.name AS trace,
    CASE WHEN :by = 'domain' THEN domain.name END AS domain,
    CASE WHEN :by = 'device' THEN coalesce(device.name, 'unknown') END AS device,
    CASE WHEN :by = 'task' THEN coalesce(task.comm || '-' || task.pid, 'unknown') END AS task,
    step.start_ns,
    step.step_ns,
    coalesce(told.maps, 0) AS maps,
    coalesce(told.unmaps, 0) AS unmaps,
    coalesce(told.mapped_bytes, 0) AS mapped_bytes,
    coalesce(told.unmapped_bytes, 0) AS unmapped_bytes,
    round(coalesce(told.maps, 0) * 1e9 / step.step_ns, 1) AS maps_per_second,
    round(coalesce(told.unmaps, 0) * 1e9 / step.step_ns, 1) AS unmaps_per_second,
    sum(coalesce(told.mappings, 0)) OVER course AS live_mappings,
    CAST(total(coalesce(told.bytes, 0)) OVER course AS INTEGER) AS live_bytes,
    CASE
        WHEN EXISTS (
            SELECT 1
            FROM domain_grade
            JOIN domain AS own ON own.id = domain_grade.domain
            WHERE own.trace = step.trace AND domain_grade.grade > 2
                AND (coalesce(:by, 'trace') <> 'domain' OR own.id = step.member)
        ) THEN 'inferred'
        ELSE 'recorded'
    END AS evidence
FROM step
LEFT JOIN told ON told.trace = step.trace AND told.member = step.member AND told.start_ns = step.start_ns
LEFT JOIN domain ON :by = 'domain' AND domain.id = step.member
LEFT JOIN device ON :by = 'device' AND device.id = step.member
LEFT JOIN task ON :by = 'task' AND task.id = step.member
WINDOW course AS (PARTITION BY step.trace, step.member ORDER BY step.start_ns)
ORDER BY step.trace, step.member, step.start_ns;
