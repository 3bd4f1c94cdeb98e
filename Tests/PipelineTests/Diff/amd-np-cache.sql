-- An AMD IOMMU that caches what is not present flushes after each map too. Those commands belong to the map: they are no
-- flush, whatever the policy.
SELECT layer_kind.name AS command, cause, hardware_domain, granularity, address, mask, count(*) AS count,
    (SELECT flushes FROM replay WHERE requested = 'sync') AS flushes_under_sync
FROM what_the_hardware_did AS layer JOIN layer_kind ON layer_kind.name = layer.kind
GROUP BY 1, 2, 3, 4, 5, 6
ORDER BY min(layer.id);
