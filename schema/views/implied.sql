-- What is missing from the log without a word in it? Events that imply others which the log shows elsewhere, but not here: a probe
-- that did not fire, or an event lost unannounced. One row for each kind of event that is short: what is missing, how often, how often
-- it is there, and implied_by, the event that shows it.
CREATE VIEW what_must_have_happened AS
WITH
    -- Rows of each kind, with what their shapes say.
    counted AS (
        SELECT
            trace, stage, kind, count, shape & 4 <> 0 AS is_confirmed, shape & 16 <> 0 AS is_unreturned,
            shape & 64 <> 0 AS is_probed, shape & 3 AS cause, shape >> 2 AS granularity
        FROM kind_count
    ),
    -- What each log shows at all. Kinds of operations: 2 unmap, 3 unmap_fast, 4 sync, 5 flush_all; of layers: the commands that
    -- empty an IOTLB.
    short AS (
        SELECT
            trace,
            'sync' AS what,
            total(count) FILTER (WHERE stage = 'layer' AND kind IN (11, 15, 22, 23, 31) AND cause = 0 AND granularity = 3)
                AS missing,
            total(count) FILTER (WHERE stage = 'operation' AND kind = 4) AS seen,
            'page invalidation' AS implied_by
        FROM counted
        GROUP BY trace
        UNION ALL
        SELECT
            trace,
            'flush_all',
            total(count) FILTER (WHERE stage = 'layer' AND kind IN (11, 15, 22, 25, 31) AND cause = 0 AND granularity < 3),
            total(count) FILTER (WHERE stage = 'operation' AND kind = 5),
            'domain invalidation'
        FROM counted
        GROUP BY trace
        UNION ALL
        SELECT
            trace,
            'unmap or unmap_fast',
            total(count) FILTER (WHERE stage = 'operation' AND kind IN (2, 3) AND is_confirmed AND NOT is_probed),
            total(count) FILTER (WHERE stage = 'operation' AND kind IN (2, 3) AND is_probed),
            'iommu:unmap'
        FROM counted
        GROUP BY trace
        UNION ALL
        SELECT
            trace,
            'iommu:unmap',
            total(count) FILTER (WHERE stage = 'operation' AND kind IN (2, 3) AND is_probed AND NOT is_confirmed),
            total(count) FILTER (WHERE stage = 'operation' AND kind IN (2, 3) AND is_confirmed),
            'call'
        FROM counted
        GROUP BY trace
        UNION ALL
        SELECT
            trace,
            'return',
            total(count) FILTER (WHERE stage = 'operation' AND is_unreturned),
            total(count) FILTER (WHERE stage = 'operation' AND kind IN (2, 3) AND NOT is_unreturned),
            'call'
        FROM counted
        GROUP BY trace
        UNION ALL
        SELECT
            trace,
            'descriptor',
            total(count) FILTER (WHERE stage = 'layer' AND kind = 3),
            total(count) FILTER (WHERE stage = 'layer' AND kind = 11),
            'function'
        FROM counted
        GROUP BY trace
    )
SELECT
    trace.name AS trace,
    short.what,
    CAST(short.missing AS INTEGER) AS missing,
    CAST(short.seen AS INTEGER) AS seen,
    short.implied_by,
    'inferred' AS evidence
FROM short
JOIN trace ON trace.id = short.trace
WHERE short.missing > 0 AND short.seen > 0 AND (short.what <> 'return' OR trace.shows_returns);
