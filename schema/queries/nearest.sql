-- Where no operation is about a range of addresses: which mappings of the trace are the nearest below and above?
-- Parameters: :first and :last, :trace and :domain, as in history.
WITH
asked AS MATERIALIZED (
    SELECT :first >> 12 & 4503599627370495 AS first, :last >> 12 & 4503599627370495 AS last
),
map AS (
    SELECT
        operation.id, operation.trace, operation.iova >> 12 & 4503599627370495 AS first,
        (operation.iova >> 12 & 4503599627370495) + ((operation.iova & 4095) + max(operation.size, 1) - 1 >> 12) AS last
    FROM operation
    LEFT JOIN domain ON domain.id = operation.domain
    -- A map that failed mapped nothing.
    WHERE operation.kind = 1 AND operation.flags & 32 = 0 AND (:trace IS NULL OR operation.trace = (SELECT id FROM trace WHERE name = :trace))
        AND (:domain IS NULL OR domain.name = :domain)
),
nearest AS MATERIALIZED (
    SELECT * FROM (
        SELECT map.id, 'below' AS side, asked.first - map.last AS pages
        FROM asked CROSS JOIN map
        WHERE map.last < asked.first
        ORDER BY map.last DESC, map.id
        LIMIT 1
    )
    UNION ALL
    SELECT * FROM (
        SELECT map.id, 'above', map.first - asked.last
        FROM asked CROSS JOIN map
        WHERE map.first > asked.last
        ORDER BY map.first, map.id
        LIMIT 1
    )
)
SELECT
    found.trace, nearest.side, nearest.pages AS pages_away, found.iova, found.size, found.domain, found.task, found.place,
    'recorded' AS evidence
FROM nearest
CROSS JOIN what_happened AS found ON found.id = nearest.id;
