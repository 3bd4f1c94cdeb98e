-- What is known of the recordings beside their events, and who says so?
-- by: trace
-- nothing found: no metadata: the logs came with nothing beside their events (import --metadata)
-- Parameters: :trace a trace's name, NULL for all.
SELECT
    trace.name AS trace,
    metadata.key,
    metadata.value,
    metadata.source AS told_by,
    metadata.evidence
FROM metadata
JOIN trace ON trace.id = metadata.trace
WHERE :trace IS NULL OR trace.name = :trace
UNION ALL
SELECT
    trace.name,
    'group ' || iommu_group.number,
    coalesce(iommu_group.type, 'type not told') || coalesce(': ' || (
        SELECT group_concat(group_device.name || coalesce(' (' || group_device.driver || ')', ''), ', ')
        FROM group_device
        WHERE group_device.iommu_group = iommu_group.id
    ), ''),
    iommu_group.source,
    'recorded'
FROM iommu_group
JOIN trace ON trace.id = iommu_group.trace
WHERE :trace IS NULL OR trace.name = :trace;
