-- A fault of a device whose domain is known is an access if the address is stale there; of a device that nobody saw being
-- attached, if it is stale in one domain only. A window is open until the flush's descriptor, and closed after it.
SELECT hazard_kind.name AS kind, counted.pages AS pages_of_kind, found.requested, found.is_hazard, found.domain, found.device,
    found.task, found.reused_in, found.reused_by, found.iova, found.size, found.age_ns,
    replace(unmap_place, (SELECT source FROM trace), 'log') AS unmap_place,
    replace(reuse_place, (SELECT source FROM trace), 'log') AS reuse_place,
    found.evidence
FROM (SELECT kind, sum(pages) AS pages FROM hazard_summary GROUP BY kind) AS counted
JOIN hazard_kind ON hazard_kind.id = counted.kind
LEFT JOIN what_was_reused_while_stale AS found ON found.kind = hazard_kind.name
ORDER BY hazard_kind.id, found.id;
