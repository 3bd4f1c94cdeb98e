-- Four pages are stale until a flush_all (lines 8 to 21, at the API and at the descriptor). Meanwhile one address is mapped to
-- another page, one to its own again; of the pages one is mapped in another domain, one where it was mapped already; and a
-- fault shows a device at the fourth address. After the flush nothing is a hazard (design §4 13).
SELECT * FROM (
    SELECT hazard_kind.name AS kind, printf('0x%x', hazard.iova) AS iova, hazard.size / 4096 AS pages, hazard.age_ns,
        operation.line AS unmap_line, reuse.line AS reuse_line
    FROM hazard
    JOIN hazard_kind ON hazard_kind.id = hazard.kind
    JOIN operation ON operation.id = hazard.operation
    JOIN operation AS reuse ON reuse.id = hazard.reuse
    UNION ALL
    SELECT hazard_kind.name || ', counted only', NULL, sum(pages), NULL, NULL, NULL
    FROM hazard_summary
    JOIN hazard_kind ON hazard_kind.id = hazard_summary.kind
    WHERE kind NOT IN (SELECT kind FROM hazard)
    GROUP BY hazard_kind.id
)
ORDER BY kind LIKE '%only', reuse_line, kind;
