-- Does the model predict the flushes and commands that the log recorded?
-- by: domain, trace
-- needs: validation
-- Parameters: :trace a trace's name, NULL for all; :by 'domain' (the default) or 'trace'.
-- Reads what `iommu-trace validate` found. recorded = matched + explained + missing, predicted = matched + extra. Predictions are
-- modelled; explained ones are recorded, but what caused them the log does not show.
WITH
found AS (
    SELECT
        validation.*,
        CASE WHEN :by = 'trace' THEN 0 ELSE coalesce(validation.domain, 0) END AS member
    FROM validation
),
reasons AS (
    SELECT trace, quantity, member, group_concat(reason || ': ' || explained, ', ') AS text
    FROM (
        SELECT found.trace, found.quantity, found.member, validation_reason.reason, sum(validation_reason.explained) AS explained
        FROM found JOIN validation_reason ON validation_reason.validation = found.id
        GROUP BY found.trace, found.quantity, found.member, validation_reason.reason
        ORDER BY validation_reason.reason
    )
    GROUP BY trace, quantity, member
),
differences AS (
    SELECT trace, quantity, member, group_concat('line ' || line || ' ' || kind || ': ' || text, '; ') AS text
    FROM (
        SELECT
            found.trace, found.quantity, found.member, difference.line, difference.kind, difference.text,
            row_number() OVER (
                PARTITION BY found.trace, found.quantity, found.member ORDER BY difference.line, difference.id
            ) AS place
        FROM found JOIN validation_difference AS difference ON difference.validation = found.id
    )
    WHERE place <= 3
    GROUP BY trace, quantity, member
)
SELECT
    trace.name AS trace,
    CASE WHEN :by = 'trace' THEN 'all' ELSE coalesce(domain.name, 'none') END AS domain,
    found.quantity,
    CASE WHEN min(found.basis) = max(found.basis) THEN min(found.basis) ELSE 'several' END AS basis,
    min(found.hardware) AS hardware,
    min(found.hardware_evidence) AS hardware_evidence,
    sum(found.recorded) AS recorded,
    sum(found.predicted) AS predicted,
    sum(found.matched) AS matched,
    sum(found.explained) AS explained,
    sum(found.missing) AS missing,
    sum(found.extra) AS extra,
    sum(found.undetermined) AS undetermined,
    round((sum(found.predicted) + sum(found.explained) - sum(found.recorded)) * 100.0 / nullif(sum(found.recorded), 0), 3)
        AS error_percent,
    round((sum(found.missing) + sum(found.extra)) * 100.0 / nullif(sum(found.recorded), 0), 3) AS wrong_percent,
    CASE WHEN count(*) = 1 THEN round(min(found.distance_p50_ns) / 1e6, 3) END AS distance_p50_ms,
    CASE WHEN count(*) = 1 THEN round(min(found.distance_p90_ns) / 1e6, 3) END AS distance_p90_ms,
    round(max(found.distance_max_ns) / 1e6, 3) AS distance_max_ms,
    'modelled' AS evidence,
    trim(coalesce(reasons.text, '') || CASE WHEN max(found.note) != '' THEN ' ' || max(found.note) ELSE '' END) AS reasons,
    differences.text AS differences
FROM found
JOIN trace ON trace.id = found.trace
LEFT JOIN domain ON :by IS NOT 'trace' AND domain.id = found.member
LEFT JOIN reasons
    ON reasons.trace = found.trace AND reasons.quantity = found.quantity AND reasons.member = found.member
LEFT JOIN differences
    ON differences.trace = found.trace AND differences.quantity = found.quantity AND differences.member = found.member
WHERE :trace IS NULL OR trace.name = :trace
GROUP BY found.trace, found.member, found.quantity
ORDER BY found.trace, found.member, found.quantity DESC
