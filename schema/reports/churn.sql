-- How much is mapped and unmapped, how soon are addresses and pages used again, and how much is mapped at a time?
-- by: trace, domain, device, task
-- needs: whole replay
-- Parameters: :trace a trace's name, NULL for all; :by 'trace' (the default), 'domain', 'device' or 'task'.
-- Reads summaries that a replay keeps. A reuse is a map call whose first page had been unmapped before: its IOVA in the same domain
-- (iova), its memory in any (page). How far back: time, and map and unmap calls of the whole log. What is live counts for who mapped it.
WITH spans AS (
    SELECT id, name, CASE WHEN last_ns > first_ns THEN (last_ns - first_ns) / 1e9 END AS seconds
    FROM trace
    WHERE :trace IS NULL OR name = :trace
)
SELECT
    spans.name AS trace,
    CASE WHEN :by = 'domain' THEN domain.name END AS domain,
    CASE WHEN :by = 'device' THEN coalesce(device.name, 'unknown') END AS device,
    CASE WHEN :by = 'task' THEN coalesce(task.comm || '-' || task.pid, 'unknown') END AS task,
    churn.maps,
    churn.unmaps,
    churn.mapped_bytes,
    churn.unmapped_bytes,
    round(churn.maps / spans.seconds, 1) AS maps_per_second,
    round(churn.unmaps / spans.seconds, 1) AS unmaps_per_second,
    round(churn.mapped_bytes / spans.seconds, 1) AS mapped_bytes_per_second,
    round(churn.unmapped_bytes / spans.seconds, 1) AS unmapped_bytes_per_second,
    churn.iova_reuses,
    round(100.0 * churn.iova_reuses / nullif(churn.maps, 0), 2) AS iova_reuse_percent,
    churn.iova_p50_ns,
    churn.iova_p90_ns,
    churn.iova_p99_ns,
    churn.iova_max_ns,
    churn.iova_p50_calls,
    churn.iova_p90_calls,
    churn.iova_p99_calls,
    churn.iova_max_calls,
    churn.page_reuses,
    round(100.0 * churn.page_reuses / nullif(churn.maps, 0), 2) AS page_reuse_percent,
    churn.page_p50_ns,
    churn.page_p90_ns,
    churn.page_p99_ns,
    churn.page_max_ns,
    churn.page_p50_calls,
    churn.page_p90_calls,
    churn.page_p99_calls,
    churn.page_max_calls,
    churn.peak_live_mappings,
    churn.peak_live_bytes,
    churn.live_mappings,
    churn.live_bytes,
    'modelled' AS live_evidence,
    -- That of the weakest grade of an operation's domain.
    (
        SELECT CASE WHEN max(domain_grade.grade) > 5 THEN 'assumed' WHEN max(domain_grade.grade) > 2 THEN 'inferred' ELSE 'recorded' END
        FROM domain_grade
        JOIN domain AS own ON own.id = domain_grade.domain
        WHERE own.trace = spans.id AND (coalesce(:by, 'trace') <> 'domain' OR own.id = churn.member)
    ) AS evidence
FROM churn_total AS churn
JOIN spans ON spans.id = churn.trace
LEFT JOIN domain ON :by = 'domain' AND domain.id = churn.member
LEFT JOIN device ON :by = 'device' AND device.id = churn.member
LEFT JOIN task ON :by = 'task' AND task.id = churn.member
WHERE churn.told_by = coalesce(:by, 'trace')
ORDER BY spans.id, churn.member;
