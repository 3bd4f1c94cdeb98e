-- What does the log hold: events as written, and the operations and layers that they became?
-- by: trace
-- Parameters: :trace a trace's name, NULL for all.
-- Reads counts that the import kept.
SELECT trace.name AS trace, 'event' AS stage, event_count.name, event_count.form, event_count.count,
    event_count.understood, 'recorded' AS evidence
FROM event_count
JOIN trace ON trace.id = event_count.trace
WHERE :trace IS NULL OR trace.name = :trace
UNION ALL
SELECT trace.name, 'operation', operation_kind.name, NULL, sum(kind_count.count), 1, 'inferred'
FROM kind_count
JOIN trace ON trace.id = kind_count.trace
JOIN operation_kind ON operation_kind.id = kind_count.kind
WHERE kind_count.stage = 'operation' AND (:trace IS NULL OR trace.name = :trace)
GROUP BY trace.id, operation_kind.id
UNION ALL
SELECT trace.name, 'layer', layer_kind.name, NULL, sum(kind_count.count), 1, 'recorded'
FROM kind_count
JOIN trace ON trace.id = kind_count.trace
JOIN layer_kind ON layer_kind.id = kind_count.kind
WHERE kind_count.stage = 'layer' AND (:trace IS NULL OR trace.name = :trace)
GROUP BY trace.id, layer_kind.id
ORDER BY 1, 2, 5 DESC, 3;
