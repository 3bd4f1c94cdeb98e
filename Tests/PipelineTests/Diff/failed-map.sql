-- A probe on iommu_map sees an attempt, the tracepoint inside a success. An attempt without its tracepoint failed: it maps
-- nothing, and the unmap inside it that rolls it back is marked likewise (the log has no probe on it, so no domain). Of the very
-- first attempt it is not known yet that successes show.  An unmap may remove less than it was asked to.
SELECT operation_kind.name AS kind, domain.name AS domain, printf('0x%x', iova) AS iova, size, result,
    flags & 32 <> 0 AS failed, flags & 4 <> 0 AS confirmed
FROM operation
JOIN operation_kind ON operation_kind.id = operation.kind
JOIN domain ON domain.id = operation.domain
ORDER BY operation.id;
