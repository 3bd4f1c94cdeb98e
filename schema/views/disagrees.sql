-- Where does what was told of a recording contradict its events, or itself? One row for each contradiction, in words.
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
    SELECT trace, domain.id AS domain, boot.value AS policy, 'booted ' || boot.value AS words, boot.told_by
    FROM boot JOIN domain USING (trace)
    WHERE boot.key = 'boot_policy' AND domain.id NOT IN (SELECT domain FROM member WHERE type IN ('DMA', 'DMA-FQ'))
    UNION ALL
    SELECT domain.trace, domain.id, CASE member.type WHEN 'DMA' THEN 'strict' ELSE 'lazy' END,
        CASE member.type WHEN 'DMA' THEN 'in a group of type DMA, which is strict' ELSE 'in a group of type DMA-FQ, which is lazy' END,
        min(member.source)
    FROM member JOIN domain ON domain.id = member.domain
    WHERE member.type IN ('DMA', 'DMA-FQ')
    GROUP BY domain.id
    HAVING count(DISTINCT member.type) = 1
), counter_clock(name) AS (VALUES ('counter'), ('uptime'), ('x86-tsc'))
SELECT domain.trace, 'policy' AS subject, told_policy.policy AS told, told_policy.told_by,
    told_policy.words || ' (' || told_policy.told_by || '), but ' || count(*) || ' domain'
        || CASE count(*) WHEN 1 THEN '' ELSE 's' END || ' ran ' || domain.mode || ': '
        || substr(group_concat(domain.name, ', '), 1, 160)
        || CASE domain.kind
            WHEN 'dma' THEN ''
            ELSE ' (of unknown kind: what was told holds for the DMA API only)'
        END
        || CASE WHEN domain.mode = 'strict' THEN coalesce('; ' || excuse.why, '') ELSE '' END AS message,
    CASE domain.kind WHEN 'dma' THEN 'inferred' ELSE 'assumed' END AS evidence
FROM domain
JOIN told_policy ON told_policy.domain = domain.id
LEFT JOIN excuse ON excuse.trace = domain.trace
WHERE domain.kind IN ('dma', 'unknown') AND domain.name <> 'unresolved'
    AND domain.mode = CASE told_policy.policy WHEN 'lazy' THEN 'strict' ELSE 'deferred' END
GROUP BY domain.trace, told_policy.policy, told_policy.words, told_policy.told_by, domain.mode, domain.kind
UNION ALL
SELECT boot.trace, 'policy', boot.value, boot.told_by,
    'booted lazy (' || boot.told_by || '), but all groups that translate are of type DMA, which is strict ('
        || min(iommu_group.source) || ')' || coalesce('; ' || excuse.why, ''),
    'recorded'
FROM boot
JOIN iommu_group USING (trace)
LEFT JOIN excuse USING (trace)
WHERE boot.key = 'boot_policy' AND boot.value = 'lazy' AND iommu_group.type IN ('DMA', 'DMA-FQ')
GROUP BY boot.trace, boot.told_by
HAVING max(iommu_group.type) = 'DMA'
UNION ALL
SELECT boot.trace, 'policy', boot.value, boot.told_by,
    'booted strict (' || boot.told_by || '), but there are groups of type DMA-FQ, which defers: '
        || count(*) || ' (' || min(iommu_group.source) || ')',
    'recorded'
FROM boot
JOIN iommu_group USING (trace)
WHERE boot.key = 'boot_policy' AND boot.value = 'strict' AND iommu_group.type = 'DMA-FQ'
GROUP BY boot.trace, boot.told_by
UNION ALL
SELECT domain.trace, 'translation', 'identity', coalesce(min(member.source), boot.told_by),
    CASE WHEN member.domain IS NULL
        THEN 'booted to translate nothing (' || boot.told_by || ')'
        ELSE 'groups of type identity (' || min(member.source) || ')'
    END || ', but the log maps in ' || count(DISTINCT domain.id) || ' domains of the DMA API: '
        || substr(group_concat(DISTINCT domain.name), 1, 160),
    'inferred'
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
GROUP BY domain.trace, member.domain IS NULL, boot.told_by
UNION ALL
SELECT trace, key, group_concat(DISTINCT value), group_concat(DISTINCT source),
    key || ' is told differently: ' || replace(group_concat(DISTINCT value || ' (' || source || ')'), ',', ', '), 'recorded'
FROM metadata
WHERE key IN ('kernel_release', 'boot_policy', 'boot_domain', 'hz', 'trace_clock') OR key LIKE '%.cap' OR key LIKE '%.ecap'
GROUP BY trace, key
HAVING count(DISTINCT value) > 1
UNION ALL
SELECT clock.trace, 'trace_clock', clock.value, clock.source,
    'told to be recorded with the clock ' || clock.value || ' (' || clock.source || '), but its times are '
        || CASE times.value WHEN 'ticks' THEN 'bare counts' ELSE 'seconds' END,
    'recorded'
FROM metadata AS clock
JOIN metadata AS times ON times.trace = clock.trace AND times.key = 'times'
WHERE clock.key = 'trace_clock' AND (clock.value IN (SELECT name FROM counter_clock)) <> (times.value = 'ticks')
UNION ALL
SELECT clock.trace, 'trace_clock', clock.value, clock.source,
    'told to be recorded with the clock ' || clock.value || ' (' || clock.source || '), but its counts look like '
        || evident.value,
    'inferred'
FROM metadata AS clock
JOIN metadata AS evident ON evident.trace = clock.trace AND evident.key = 'evident_clock'
WHERE clock.key = 'trace_clock' AND clock.value IN (SELECT name FROM counter_clock) AND clock.value <> evident.value
UNION ALL
SELECT clock.trace, 'trace_clock', clock.value, clock.source,
    'told to be recorded with the clock ' || clock.value || ' (' || clock.source || '), but its times '
        || CASE clock.value WHEN 'tai' THEN 'do not count from 1970' ELSE 'count from 1970' END,
    'inferred'
FROM metadata AS clock
JOIN metadata AS times ON times.trace = clock.trace AND times.key = 'times' AND times.value = 'seconds'
JOIN trace ON trace.id = clock.trace
WHERE clock.key = 'trace_clock' AND clock.value NOT IN (SELECT name FROM counter_clock)
    AND (clock.value = 'tai') <> (trace.first_ns > 1000000000000000000)
UNION ALL
SELECT release.trace, 'kernel_release', release.value, release.source,
    'told to be recorded on Linux ' || release.value || ' (' || release.source || '), but the log has '
        || event_count.name || ', which Linux has ' || known.era,
    'inferred'
FROM metadata AS release
JOIN (
    SELECT 'cache_tag_flush_range' AS name, 6011 AS least, 999999 AS most, 'since 6.11' AS era
    UNION ALL SELECT 'cache_tag_flush_all', 6011, 999999, 'since 6.11'
    UNION ALL SELECT 'dma_map_sg', 6012, 999999, 'since 6.12'
    UNION ALL SELECT 'dma_unmap_sg', 6012, 999999, 'since 6.12'
    UNION ALL SELECT 'map_single', 5004, 5011, 'from 5.4 to 5.11'
    UNION ALL SELECT 'unmap_single', 5004, 5011, 'from 5.4 to 5.11'
) AS known
JOIN event_count ON event_count.trace = release.trace AND event_count.name = known.name AND event_count.form = 'tracepoint'
WHERE release.key = 'kernel_release' AND release.number NOT BETWEEN known.least AND known.most
GROUP BY release.trace, release.value, release.source, known.era
UNION ALL
SELECT trace, 'cmdline', value, source, value || ' (' || source || ')', evidence
FROM metadata
WHERE key = 'cmdline_remark'
UNION ALL
SELECT trace, 'losses', what, min(source),
    'the log is missing ' || sum(silent) || ' events that it does not announce: '
        || substr(group_concat(silent || ' of CPU ' || cpu, ', '), 1, 160) || ' (' || what || ', ' || min(source) || ')',
    'recorded'
FROM what_is_missing
WHERE silent > 0 AND cpu IS NOT NULL
GROUP BY trace, what
UNION ALL
SELECT trace, 'losses', what, min(source),
    'the ring buffer counted ' || sum(events) || ' events as ' || what || ', not all of which the log announces (' || min(source) || ')', 'recorded'
FROM what_is_missing
WHERE silent IS NULL
GROUP BY trace, what
UNION ALL
SELECT trace, 'losses', 'probes', source,
    'missed probes: ' || substr(group_concat(probe || ' ' || events || ' times', ', '), 1, 200)
        || ': calls that nothing in the log shows (' || source || ')',
    'recorded'
FROM what_is_missing
WHERE probe IS NOT NULL
GROUP BY trace, source;
