-- Where does the model predict other flushes or commands than the log recorded?
-- by: trace
-- needs: validation
-- nothing found: no difference: all that was predicted was recorded, and the other way round, or is explained
-- Parameters: :trace a trace's name, NULL for all.
-- Reads what `iommu-trace validate` kept: the first differences of each domain and quantity.
SELECT
    trace.name AS trace,
    coalesce(domain.name, 'none') AS domain,
    validation.quantity,
    difference.line,
    difference.kind,
    difference.text,
    CASE difference.kind WHEN 'missing' THEN 'recorded' ELSE 'modelled' END AS evidence
FROM validation_difference AS difference
JOIN validation ON validation.id = difference.validation
JOIN trace ON trace.id = validation.trace
LEFT JOIN domain ON domain.id = validation.domain
WHERE :trace IS NULL OR trace.name = :trace
ORDER BY trace.id, difference.line, difference.id
