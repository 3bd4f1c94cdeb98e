-- Which domains are there, what are they for, what do they do with their flushes, and how is that known?
-- by: domain
-- under: contradictions
-- Parameters: :trace a trace's name, NULL for all.
-- maps to live_bytes come from a replay's page-table model and are NULL before the first one.
SELECT
    trace.name AS trace,
    domain.name AS domain,
    domain.evidence,
    (SELECT group_concat(operations || ' ' || name, ', ') FROM (
        SELECT domain_grade.operations, grade.name
        FROM domain_grade JOIN grade ON grade.id = domain_grade.grade
        WHERE domain_grade.domain = domain.id
        ORDER BY grade.id
    )) AS grades,
    domain.kind,
    domain.kind_evidence,
    domain.mode,
    CASE domain.mode WHEN 'unknown' THEN NULL ELSE 'inferred' END AS mode_evidence,
    domain.mode_reason,
    domain.hardware_domain,
    CASE
        WHEN NOT trace.shows_attaches THEN 'assumed'
        WHEN domain.was_attached THEN 'recorded'
        WHEN domain.assumed_attached THEN 'assumed'
        ELSE 'never seen'
    END AS attached,
    (SELECT group_concat(name, ' ') FROM (
        SELECT DISTINCT device.name
        FROM attachment JOIN device ON device.id = attachment.device
        WHERE attachment.domain = domain.id
        ORDER BY device.name
    )) AS devices,
    mapping_summary.maps,
    mapping_summary.unmaps,
    mapping_summary.mapped_bytes,
    mapping_summary.unmapped_bytes,
    mapping_summary.maps_over_live,
    mapping_summary.unmaps_of_nothing,
    mapping_summary.unmaps_without_map,
    mapping_summary.peak_live_bytes,
    mapping_summary.live_bytes,
    CASE WHEN trace.last_ns > trace.first_ns THEN round(mapping_summary.maps * 1e9 / (trace.last_ns - trace.first_ns), 1) END
        AS maps_per_second,
    CASE WHEN trace.last_ns > trace.first_ns THEN round(mapping_summary.unmaps * 1e9 / (trace.last_ns - trace.first_ns), 1) END
        AS unmaps_per_second,
    CASE WHEN mapping_summary.domain IS NOT NULL THEN 'modelled' END AS mapping_evidence
FROM domain
JOIN trace ON trace.id = domain.trace
LEFT JOIN mapping_summary ON mapping_summary.domain = domain.id
WHERE :trace IS NULL OR trace.name = :trace
ORDER BY domain.id;
