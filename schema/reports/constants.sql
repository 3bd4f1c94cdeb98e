-- How long is one step taken to last in report costs, who says so, and how sure is that?
-- by: constant
-- Parameters: :cost a cost file as JSON, which stands before the built-in constants; NULL for none.
WITH given AS (
    SELECT
        json_extract(value, '$.name') AS name, json_extract(value, '$.low') AS low_ns,
        json_extract(value, '$.typical') AS typical_ns, json_extract(value, '$.high') AS high_ns,
        json_extract(value, '$.evidence') AS evidence, json_extract(value, '$.source') AS source,
        json_extract(value, '$.file') AS file
    FROM json_each(:cost)
)
SELECT
    cost.name AS constant,
    coalesce(given.low_ns, cost.low_ns) AS low_ns,
    coalesce(given.typical_ns, cost.typical_ns) AS typical_ns,
    coalesce(given.high_ns, cost.high_ns) AS high_ns,
    coalesce(given.evidence, cost.evidence) AS evidence,
    cost.part AS used_for,
    cost.meaning,
    coalesce(given.source, cost.source) AS source,
    coalesce(given.file, cost.file) AS file
FROM cost
LEFT JOIN given ON given.name = cost.name
ORDER BY cost.id;
