-- Which page sizes did mappings get, and what kept them from larger ones?
-- by: trace, domain, device, task
-- needs: whole replay
-- Parameters: :trace a trace's name, NULL for all; :by 'trace' (the default), 'domain', 'device' or 'task'.
-- Reads summaries that a replay keeps, one for each choice of --page-sizes. capped_by is what iommu_pgsize found at the begin of a
-- run of equal pages: alignment of the IOVA (iova) or of the physical address (paddr), bytes left (length), or no larger size
-- offered (offered). X_lifted_2m_bytes and _1g_ are the bytes of the row that would be in pages of at least 2 MiB and 1 GiB if only X did not hold.
-- note: assumed: no log tells which page sizes an IOMMU offers (replay --page-sizes)
WITH told AS (
    SELECT
        page_size_summary.*, trace.name,
        CASE WHEN :by = 'domain' THEN page_size_summary.domain WHEN :by = 'device' THEN coalesce(page_size_summary.device, 0)
            WHEN :by = 'task' THEN coalesce(page_size_summary.task, 0) ELSE 0 END AS member,
        CASE WHEN trace.last_ns > trace.first_ns THEN (trace.last_ns - trace.first_ns) / 1e9 END AS seconds
    FROM page_size_summary
    JOIN trace ON trace.id = page_size_summary.trace
    WHERE :trace IS NULL OR trace.name = :trace
),
summed AS (
    -- total: the bytes of a hostile log may exceed what sum() takes.
    SELECT
        told.trace, told.name, told.offered, told.member, told.page_size, told.limits, max(told.seconds) AS seconds,
        sum(told.callbacks) AS callbacks, CAST(total(told.pages) AS INTEGER) AS pages, CAST(total(told.bytes) AS INTEGER) AS bytes,
        CAST(total(told.iova_lifted_2m) AS INTEGER) AS iova_2m, CAST(total(told.iova_lifted_1g) AS INTEGER) AS iova_1g,
        CAST(total(told.paddr_lifted_2m) AS INTEGER) AS paddr_2m, CAST(total(told.paddr_lifted_1g) AS INTEGER) AS paddr_1g,
        CAST(total(told.length_lifted_2m) AS INTEGER) AS length_2m, CAST(total(told.length_lifted_1g) AS INTEGER) AS length_1g,
        CAST(total(told.size_lifted_2m) AS INTEGER) AS size_2m, CAST(total(told.size_lifted_1g) AS INTEGER) AS size_1g
    FROM told
    GROUP BY told.trace, told.offered, told.member, told.page_size, told.limits
)
SELECT
    summed.name AS trace,
    CASE WHEN :by = 'domain' THEN domain.name END AS domain,
    CASE WHEN :by = 'device' THEN coalesce(device.name, 'unknown') END AS device,
    CASE WHEN :by = 'task' THEN coalesce(task.comm || '-' || task.pid, 'unknown') END AS task,
    summed.offered,
    summed.page_size,
    CASE
        WHEN summed.page_size IS NULL THEN 'physical address not recorded'
        WHEN summed.limits = 8 THEN 'offered'
        ELSE substr(
            CASE WHEN summed.limits & 1 THEN '+iova' ELSE '' END || CASE WHEN summed.limits & 2 THEN '+paddr' ELSE '' END
            || CASE WHEN summed.limits & 4 THEN '+length' ELSE '' END, 2)
    END AS capped_by,
    CASE WHEN summed.page_size IS NOT NULL THEN summed.pages END AS pages,
    summed.bytes,
    round(100.0 * summed.bytes / nullif(sum(summed.bytes * 1.0) OVER member, 0), 2) AS bytes_percent,
    CASE WHEN summed.page_size IS NOT NULL THEN summed.callbacks END AS callbacks,
    round(summed.pages / summed.seconds, 1) AS pages_per_second,
    round(summed.bytes / summed.seconds, 1) AS bytes_per_second,
    summed.iova_2m AS iova_lifted_2m_bytes,
    summed.paddr_2m AS paddr_lifted_2m_bytes,
    summed.length_2m AS length_lifted_2m_bytes,
    summed.size_2m AS offered_lifted_2m_bytes,
    summed.iova_1g AS iova_lifted_1g_bytes,
    summed.paddr_1g AS paddr_lifted_1g_bytes,
    summed.length_1g AS length_lifted_1g_bytes,
    summed.size_1g AS offered_lifted_1g_bytes,
    CASE WHEN summed.page_size IS NULL THEN 'recorded' ELSE 'assumed' END AS evidence
FROM summed
LEFT JOIN domain ON :by = 'domain' AND domain.id = summed.member
LEFT JOIN device ON :by = 'device' AND device.id = summed.member
LEFT JOIN task ON :by = 'task' AND task.id = summed.member
WINDOW member AS (PARTITION BY summed.trace, summed.offered, summed.member)
ORDER BY summed.trace, summed.offered, summed.member, summed.page_size, summed.limits;
