-- A line that cannot be taken is kept with its reason and place; what is good on either side of it is imported.
SELECT line, reason AS what, substr(excerpt, 1, 40) AS text FROM parse_issue
UNION ALL
SELECT line, 'lost on CPU ' || cpu, count FROM lost_events
UNION ALL
SELECT line, name, printf('0x%x size %d result %d', iova, size, result)
FROM operation JOIN operation_kind ON operation_kind.id = operation.kind
ORDER BY 1;
