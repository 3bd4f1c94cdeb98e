-- Where does what was told of a recording contradict its events, or itself? One row for each contradiction: told, by told_by, against
-- found, by found_by. conflict says which kind it is:
-- 'mode': domains ran in another mode than told for them (count and which: the first 8); 'groups': no group, or not each, is of the
-- type that the boot policy means; 'maps': domains of the DMA API that were to translate nothing are mapped in; 'told twice': two sources differ;
-- 'times', 'clock', 'epoch': the clock told and the times of the log, what they look like, and whether they count from 1970; 'event': of another
-- kernel (because: of which versions); 'remark': what the command line says beside; 'silent', 'unclear', 'probes': events that the
-- log does not announce, at least not all, and hits that probes missed (count and which: the first 8).
-- told_as: 'boot', 'group' or 'recording'. because: what the kernel said of it, where it did.
CREATE VIEW what_disagrees AS
WITH boot AS (
    -- What the kernel was told, and by whom.
    SELECT trace, key, value, replace(group_concat(DISTINCT source), ',', ', ') AS told_by
    FROM metadata
    WHERE key IN ('boot_policy', 'boot_domain')
    GROUP BY trace, key, value
), excuse AS (
    SELECT trace, min(value) AS why FROM metadata WHERE key = 'strict_because' GROUP BY trace
), member AS (
    -- Devices of domains, with the types of their groups.
    SELECT attachment.domain, iommu_group.type, iommu_group.source
    FROM attachment
    CROSS JOIN device ON device.id = attachment.device
    CROSS JOIN group_device ON group_device.name = device.name
    CROSS JOIN iommu_group ON iommu_group.id = group_device.iommu_group AND iommu_group.trace = device.trace
    UNION
    SELECT domain.id, iommu_group.type, iommu_group.source
    FROM domain
    CROSS JOIN group_device ON group_device.name = domain.name
    CROSS JOIN iommu_group ON iommu_group.id = group_device.iommu_group AND iommu_group.trace = domain.trace
), told_policy AS (
    SELECT trace, domain.id AS domain, boot.value AS policy, 'boot' AS told_as, boot.told_by
    FROM boot JOIN domain USING (trace)
    WHERE boot.key = 'boot_policy' AND domain.id NOT IN (SELECT domain FROM member WHERE type IN ('DMA', 'DMA-FQ'))
    UNION ALL
    SELECT domain.trace, domain.id, CASE member.type WHEN 'DMA' THEN 'strict' ELSE 'lazy' END, 'group', min(member.source)
    FROM member JOIN domain ON domain.id = member.domain
    WHERE member.type IN ('DMA', 'DMA-FQ')
    GROUP BY domain.id
    HAVING count(DISTINCT member.type) = 1
), other_mode AS (
    SELECT
        domain.trace, domain.name, domain.mode, domain.kind, told_policy.policy, told_policy.told_as, told_policy.told_by,
        row_number() OVER (
            PARTITION BY domain.trace, told_policy.policy, told_policy.told_as, told_policy.told_by, domain.mode, domain.kind ORDER BY domain.id
        ) AS number
    FROM domain
    JOIN told_policy ON told_policy.domain = domain.id
    WHERE domain.kind IN ('dma', 'unknown') AND domain.name <> 'unresolved'
        AND CASE told_policy.policy WHEN 'lazy' THEN domain.mode = 'strict' ELSE domain.mode IN ('deferred', 'mixed') END
), translated AS (
    -- Domains of the DMA API that are mapped in although nothing was to be translated, each once for the boot and for its group.
    SELECT
        domain.trace, domain.name, CASE WHEN member.domain IS NULL THEN 'boot' ELSE 'group' END AS told_as,
        coalesce(min(member.source), boot.told_by) AS told_by,
        row_number() OVER (PARTITION BY domain.trace, member.domain IS NULL, boot.told_by ORDER BY domain.id) AS number
    FROM domain
    LEFT JOIN boot ON boot.trace = domain.trace AND boot.key = 'boot_domain' AND boot.value = 'identity'
    LEFT JOIN member ON member.domain = domain.id AND member.type = 'identity'
    WHERE (
            domain.kind = 'dma' OR EXISTS (
                SELECT 1 FROM domain_grade JOIN grade ON grade.id = domain_grade.grade
                WHERE domain_grade.domain = domain.id AND grade.name = 'dma'
            )
        )
        AND (boot.value IS NOT NULL OR member.domain IS NOT NULL)
        AND EXISTS (SELECT 1 FROM domain_grade WHERE domain_grade.domain = domain.id)
        AND domain.id NOT IN (SELECT domain FROM member WHERE type IN ('DMA', 'DMA-FQ'))
    GROUP BY domain.id, boot.told_by
), told_value AS (
    -- What two sources may tell of one thing, in the order in which they do.
    SELECT trace, key, value, group_concat(source, ', ') AS told_by, row_number() OVER (PARTITION BY trace, key ORDER BY min(id)) AS number
    FROM (
        SELECT trace, key, value, source, min(id) AS id
        FROM metadata
        WHERE key IN ('kernel_release', 'boot_policy', 'boot_domain', 'hz', 'trace_clock') OR key LIKE '%.cap' OR key LIKE '%.ecap'
        GROUP BY trace, key, value, source
    )
    GROUP BY trace, key, value
), counter_clock(name) AS (VALUES ('counter'), ('uptime'), ('x86-tsc')),
missing AS (
    SELECT *, row_number() OVER (PARTITION BY trace, what, probe IS NULL ORDER BY cpu, probe) AS number
    FROM what_is_missing
    WHERE silent > 0 AND cpu IS NOT NULL OR probe IS NOT NULL
)
SELECT
    trace, 'policy' AS subject, 'mode' AS conflict, policy AS told, told_as, told_by, mode AS found, 'log' AS found_by, count(*) AS count,
    group_concat(name, ', ') FILTER (WHERE number <= 8) AS which,
    CASE WHEN mode = 'strict' THEN (SELECT why FROM excuse WHERE excuse.trace = other_mode.trace) END AS because,
    -- What was told holds for the DMA API.
    CASE kind WHEN 'dma' THEN 'inferred' ELSE 'assumed' END AS evidence
FROM other_mode
GROUP BY trace, policy, told_as, told_by, mode, kind
UNION ALL
SELECT boot.trace, 'policy', 'groups', boot.value, 'boot', boot.told_by, 'DMA', min(iommu_group.source), count(*), NULL, excuse.why, 'recorded'
FROM boot
JOIN iommu_group USING (trace)
LEFT JOIN excuse USING (trace)
WHERE boot.key = 'boot_policy' AND boot.value = 'lazy' AND iommu_group.type IN ('DMA', 'DMA-FQ')
GROUP BY boot.trace, boot.told_by
HAVING max(iommu_group.type) = 'DMA'
UNION ALL
SELECT boot.trace, 'policy', 'groups', boot.value, 'boot', boot.told_by, 'DMA-FQ', min(iommu_group.source), count(*), NULL, NULL, 'recorded'
FROM boot
JOIN iommu_group USING (trace)
WHERE boot.key = 'boot_policy' AND boot.value = 'strict' AND iommu_group.type = 'DMA-FQ'
GROUP BY boot.trace, boot.told_by
UNION ALL
SELECT trace, 'translation', 'maps', 'identity', told_as, told_by, 'maps', 'log', count(*),
    group_concat(name, ', ') FILTER (WHERE number <= 8), NULL, 'inferred'
FROM translated
GROUP BY trace, told_as, told_by
UNION ALL
SELECT first.trace, first.key, 'told twice', first.value, 'recording', first.told_by, other.value, other.told_by, NULL, NULL, NULL, 'recorded'
FROM told_value AS first
JOIN told_value AS other ON other.trace = first.trace AND other.key = first.key AND other.number > 1
WHERE first.number = 1
UNION ALL
SELECT clock.trace, 'trace_clock', 'times', clock.value, 'recording', clock.source, times.value, 'log', NULL, NULL, NULL, 'recorded'
FROM metadata AS clock
JOIN metadata AS times ON times.trace = clock.trace AND times.key = 'times'
WHERE clock.key = 'trace_clock' AND (clock.value IN (SELECT name FROM counter_clock)) <> (times.value = 'ticks')
UNION ALL
SELECT clock.trace, 'trace_clock', 'clock', clock.value, 'recording', clock.source, evident.value, 'log', NULL, NULL, NULL, 'inferred'
FROM metadata AS clock
JOIN metadata AS evident ON evident.trace = clock.trace AND evident.key = 'evident_clock'
WHERE clock.key = 'trace_clock' AND clock.value IN (SELECT name FROM counter_clock) AND clock.value <> evident.value
UNION ALL
SELECT clock.trace, 'trace_clock', 'epoch', clock.value, 'recording', clock.source, CASE clock.value WHEN 'tai' THEN 'not 1970' ELSE '1970' END,
    'log', NULL, NULL, NULL, 'inferred'
FROM metadata AS clock
JOIN metadata AS times ON times.trace = clock.trace AND times.key = 'times' AND times.value = 'seconds'
JOIN trace ON trace.id = clock.trace
WHERE clock.key = 'trace_clock' AND clock.value NOT IN (SELECT name FROM counter_clock)
    AND (clock.value = 'tai') <> (trace.first_ns > 1000000000000000000)
UNION ALL
SELECT release.trace, 'kernel_release', 'event', release.value, 'recording', release.source, event_count.name, 'log', NULL, NULL, known.era,
    'inferred'
FROM metadata AS release
JOIN (
    SELECT 'cache_tag_flush_range' AS name, 6011 AS least, 999999 AS most, '6.11..' AS era
    UNION ALL SELECT 'cache_tag_flush_all', 6011, 999999, '6.11..'
    UNION ALL SELECT 'dma_map_sg', 6012, 999999, '6.12..'
    UNION ALL SELECT 'dma_unmap_sg', 6012, 999999, '6.12..'
    UNION ALL SELECT 'map_single', 5004, 5011, '5.4..5.11'
    UNION ALL SELECT 'unmap_single', 5004, 5011, '5.4..5.11'
) AS known
JOIN event_count ON event_count.trace = release.trace AND event_count.name = known.name AND event_count.form = 'tracepoint'
WHERE release.key = 'kernel_release' AND release.number NOT BETWEEN known.least AND known.most
GROUP BY release.trace, release.value, release.source, known.era
UNION ALL
SELECT release.trace, 'kernel_release', 'event', release.value, 'recording', release.source, 'sync with pgsize=0', 'log', NULL, NULL,
    '6.19..', 'inferred'
FROM metadata AS release
JOIN metadata AS evident ON evident.trace = release.trace AND evident.key = 'evident_kernel'
WHERE release.key = 'kernel_release' AND release.number < evident.number
UNION ALL
SELECT trace, 'cmdline', 'remark', value, 'boot', source, NULL, NULL, NULL, NULL, NULL, evidence
FROM metadata
WHERE key = 'cmdline_remark'
UNION ALL
SELECT trace, 'losses', 'silent', what, 'recording', min(source), NULL, 'log', sum(silent),
    group_concat('CPU ' || cpu || ': ' || silent, ', ') FILTER (WHERE number <= 8), NULL, 'recorded'
FROM missing
WHERE probe IS NULL
GROUP BY trace, what
UNION ALL
SELECT trace, 'losses', 'unclear', what, 'recording', min(source), NULL, 'log', sum(events), NULL, NULL, 'recorded'
FROM what_is_missing
WHERE silent IS NULL
GROUP BY trace, what
UNION ALL
SELECT trace, 'losses', 'probes', 'missed', 'recording', source, NULL, 'log', count(*),
    group_concat(probe || ': ' || events, ', ') FILTER (WHERE number <= 8), NULL, 'recorded'
FROM missing
WHERE probe IS NOT NULL
GROUP BY trace, source;
