-- How long do flushes and page-table work take in the log itself, as far as its stamps bound them?
-- by: trace
-- without rows: no log holds a flush together with what follows from it, so nothing bounds a time (docs/recording.md)
-- Parameters: :trace a trace's name, NULL for all.
-- No event marks a completion. From a flush to its last layer is less than the flush takes, from a flush to the next thing that the
-- same task does on the same CPU is more: least so where that is another unmap, for then little else happens meanwhile. A call's entry
-- to the tracepoint or return within it is more than the page table takes, for the probes take time too. Percentiles are by nearest
-- rank. bound: whether that is a 'lower' or an 'upper' one, of what bounds names. constants: what `iommu-trace calibrate -o` replaces by p10, p50, p90; of two rows that bound the same one, that
-- with the lower p50.
-- Of a log with more than 100,000 operations the first 100,000 are looked at: enough for percentiles, and soon done.
-- tables leave out: trace, bounds
-- tables add: bound
WITH RECURSIVE
wanted AS (
    SELECT
        id, name, first_operation, first_operation + min(operations, 100000) AS operation_limit, first_layer,
        first_layer + layers AS layer_limit,
        -- What belongs to the operations looked at stands before the first that is not.
        (SELECT line FROM operation WHERE operation.id = first_operation + 100000 AND operations > 100000) AS line_limit
    FROM trace
    WHERE :trace IS NULL OR name = :trace
),
-- Layers stand in the order of the log: the first that belongs to no operation looked at is found by halving.
halved AS (
    SELECT id AS trace, line_limit, first_layer AS low, layer_limit AS high FROM wanted
    UNION ALL
    SELECT
        halved.trace, halved.line_limit,
        CASE WHEN layer.line < halved.line_limit THEN layer.id + 1 ELSE halved.low END,
        CASE WHEN layer.line < halved.line_limit THEN halved.high ELSE layer.id END
    FROM halved
    JOIN layer ON layer.id = (halved.low + halved.high) / 2
    WHERE halved.low < halved.high AND halved.line_limit IS NOT NULL
),
neighbour AS (
    SELECT operation.id, lag(operation.id) OVER next AS last, lead(operation.id) OVER next AS next
    FROM wanted
    CROSS JOIN operation ON operation.id >= wanted.first_operation AND operation.id < wanted.operation_limit
    WINDOW next AS (PARTITION BY operation.trace, operation.cpu, operation.task ORDER BY operation.id)
),
placed AS MATERIALIZED (
    SELECT
        operation.id, operation.trace, operation_kind.name AS kind, operation.time_ns, operation.since_entry_ns,
        operation.size, operation.result, operation.line,
        next.time_ns AS next_ns,
        next.since_entry_ns AS next_since_entry_ns,
        (SELECT name FROM operation_kind WHERE operation_kind.id = next.kind) AS next_kind,
        (SELECT name FROM operation_kind WHERE operation_kind.id = last.kind) AS last_kind,
        last.time_ns AS last_ns
    FROM neighbour
    CROSS JOIN operation ON operation.id = neighbour.id
    JOIN operation_kind ON operation_kind.id = operation.kind
    LEFT JOIN operation AS next ON next.id = neighbour.next
    LEFT JOIN operation AS last ON last.id = neighbour.last
),
near AS MATERIALIZED (
    SELECT layer.trace, layer.flush, layer.line, layer.time_ns, layer_kind.name AS kind
    FROM wanted
    CROSS JOIN (SELECT trace, min(high) AS layer_limit FROM halved GROUP BY trace) AS until ON until.trace = wanted.id
    CROSS JOIN layer ON layer.id >= wanted.first_layer AND layer.id < until.layer_limit
    JOIN layer_kind ON layer_kind.id = layer.kind
),
layered AS (
    -- Layers that come after the flush that they belong to: a flush queue's own come before.
    SELECT
        flush.id, flush.trace, flush.kind, flush.time_ns,
        min(layer.time_ns) FILTER (
            WHERE layer.kind IN ('hw_flush', 'cache_tag_flush_range', 'cache_tag_flush_all')
        ) AS function_ns,
        min(layer.time_ns) FILTER (
            WHERE layer.kind IN (
                'iotlb_inv', 'p_iotlb_inv', 'INVALIDATE_IOMMU_PAGES', 'INVALIDATE_IOMMU_ALL', 'TLBI', 'cmdq'
            )
        ) AS command_ns,
        max(layer.time_ns) AS last_ns
    FROM placed AS flush
    JOIN near AS layer ON layer.flush = flush.id AND layer.line > flush.line
    WHERE flush.kind IN ('sync', 'flush_all')
    GROUP BY flush.id
),
vendor AS (
    -- Whose hardware the log shows, where its commands tell.
    SELECT
        layer.trace,
        CASE
            WHEN max(layer.kind IN ('iotlb_inv', 'p_iotlb_inv')) THEN ', sync.vtd'
            WHEN max(layer.kind IN ('INVALIDATE_IOMMU_PAGES', 'INVALIDATE_IOMMU_ALL')) THEN ', sync.amd'
            WHEN max(layer.kind = 'cmdq') THEN ', sync.smmuv3'
            ELSE ''
        END AS constant
    FROM near AS layer
    GROUP BY layer.trace
),
followed AS (
    -- Only flushes that went down to the hardware: those of a domain without devices cost nothing there.
    SELECT
        placed.trace, placed.kind, placed.next_kind,
        placed.kind || CASE placed.kind WHEN 'sync' THEN coalesce(vendor.constant, '') ELSE '' END AS constants,
        -- An unmap stands where its entries were clear; it begins before that, but not before a sync within it.
        CASE
            WHEN placed.next_ns - coalesce(placed.next_since_entry_ns, 0) >= layered.last_ns
                THEN placed.next_ns - coalesce(placed.next_since_entry_ns, 0)
            ELSE placed.next_ns
        END - placed.time_ns AS ns
    FROM placed
    JOIN layered ON layered.id = placed.id
    LEFT JOIN vendor ON vendor.trace = placed.trace
    WHERE placed.next_ns >= layered.last_ns
),
length AS (
    SELECT trace, 1 AS place, kind || ' to the driver''s function' AS measure, 'lower' AS bound, kind AS bounds, NULL AS constants,
        function_ns - time_ns AS ns
    FROM layered
    WHERE function_ns IS NOT NULL
    UNION ALL
    SELECT trace, 2, kind || ' to the first command', 'lower', kind, NULL, command_ns - time_ns
    FROM layered
    WHERE command_ns IS NOT NULL
    UNION ALL
    SELECT trace, 3, kind || ' to the last layer', 'lower', kind, NULL, last_ns - time_ns
    FROM layered
    UNION ALL
    SELECT trace, 4, kind || ' to the task''s next event', 'upper', kind, constants, ns
    FROM followed
    UNION ALL
    SELECT trace, 5, kind || ' to the task''s next event, an unmap', 'upper', kind, constants, ns
    FROM followed
    WHERE next_kind IN ('unmap', 'unmap_fast')
    UNION ALL
    SELECT
        trace, 6, 'unmap to its page-table clear, ' || CASE WHEN result = 4096 THEN 'one page' ELSE 'more pages' END,
        'upper', CASE WHEN result = 4096 THEN 'unmap_base' ELSE 'unmap_base, unmap_pte' END,
        CASE WHEN result = 4096 THEN 'unmap_base' END, since_entry_ns
    FROM placed
    WHERE kind IN ('unmap', 'unmap_fast') AND result > 0
        -- A gather that could not take the range synced within the call.
        AND NOT coalesce(last_kind IN ('sync', 'flush_all') AND last_ns >= time_ns - since_entry_ns, 0)
    UNION ALL
    SELECT
        trace, 7, 'map to its tracepoint, ' || CASE WHEN size = 4096 THEN 'one page' ELSE 'more pages' END,
        'upper', CASE WHEN size = 4096 THEN 'map_base' ELSE 'map_base, map_pte' END,
        CASE WHEN size = 4096 THEN 'map_base' END, since_entry_ns
    FROM placed
    WHERE kind = 'map'
),
ranked AS (
    SELECT
        trace, place, measure, bound, bounds, constants, ns,
        row_number() OVER (PARTITION BY trace, measure ORDER BY ns) AS position,
        count(*) OVER (PARTITION BY trace, measure) AS n
    FROM length
    -- Unknown, or the clock ran backwards.
    WHERE ns >= 0
)
SELECT
    wanted.name AS trace,
    ranked.measure,
    ranked.bound,
    ranked.bounds,
    ranked.n,
    min(ns) FILTER (WHERE position * 100 >= n * 10) AS p10_ns,
    min(ns) FILTER (WHERE position * 100 >= n * 50) AS p50_ns,
    min(ns) FILTER (WHERE position * 100 >= n * 90) AS p90_ns,
    min(ns) FILTER (WHERE position * 100 >= n * 99) AS p99_ns,
    'inferred' AS evidence,
    ranked.constants
FROM ranked
JOIN wanted ON wanted.id = ranked.trace
GROUP BY ranked.trace, ranked.place, ranked.measure
ORDER BY ranked.trace, ranked.place, ranked.measure DESC;
