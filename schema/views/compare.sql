-- How much does each log do in how much time? Rates that two logs can be compared by; mistakes are known after a replay.
CREATE VIEW how_each_log_ran AS
WITH counted AS (
    SELECT
        trace,
        total(count) FILTER (WHERE kind = 1 AND NOT shape & 32) AS maps,
        total(count) FILTER (WHERE kind IN (2, 3)) AS unmaps,
        total(count) FILTER (WHERE kind IN (4, 5)) AS flushes
    FROM kind_count
    WHERE stage = 'operation'
    GROUP BY trace
),
mistaken AS (
    SELECT
        trace, total(maps_over_live) AS maps_over_live, total(unmaps_of_nothing) AS unmaps_of_nothing,
        total(unmaps_without_map) AS unmaps_without_map, total(mapped_bytes) AS mapped_bytes,
        total(unmapped_bytes) AS unmapped_bytes
    FROM mapping_summary
    GROUP BY trace
),
span AS (
    SELECT id, CASE WHEN last_ns > first_ns THEN (last_ns - first_ns) / 1e9 END AS seconds
    FROM trace
)
SELECT
    trace.id AS trace,
    trace.name,
    span.seconds,
    coalesce(counted.maps, 0) / span.seconds AS maps_per_second,
    coalesce(counted.unmaps, 0) / span.seconds AS unmaps_per_second,
    mistaken.mapped_bytes / span.seconds AS mapped_bytes_per_second,
    mistaken.unmapped_bytes / span.seconds AS unmapped_bytes_per_second,
    CASE WHEN trace.flush_layer = 'api' THEN counted.flushes / nullif(counted.unmaps, 0) END AS flushes_per_unmap,
    CASE WHEN trace.flush_layer = 'api' THEN counted.flushes / span.seconds END AS flushes_per_second,
    1e6 * mistaken.maps_over_live / nullif(counted.maps, 0) AS maps_over_live_per_million,
    1e6 * mistaken.unmaps_of_nothing / nullif(counted.unmaps, 0) AS unmaps_of_nothing_per_million,
    1e6 * mistaken.unmaps_without_map / nullif(counted.unmaps, 0) AS unmaps_without_map_per_million
FROM trace
JOIN span ON span.id = trace.id
LEFT JOIN counted ON counted.trace = trace.id
LEFT JOIN mistaken ON mistaken.trace = trace.id;

-- What does each replay of a whole log cost and expose? Rates that two logs can be compared by. Windows of policy recorded are
-- the log's own latencies.
CREATE VIEW how_each_replay_ran AS
WITH span AS (
    SELECT id, CASE WHEN last_ns > first_ns THEN (last_ns - first_ns) / 1e9 END AS seconds
    FROM replay
),
hazards AS (
    SELECT hazard_summary.replay, total(hazard_summary.pages) AS pages
    FROM hazard_summary
    JOIN hazard_kind ON hazard_kind.id = hazard_summary.kind
    WHERE hazard_kind.is_hazard
    GROUP BY hazard_summary.replay
)
SELECT
    replay.id AS replay,
    replay.trace,
    replay.requested,
    replay.policy,
    replay.options,
    replay.layer,
    replay.evidence,
    1.0 * replay.flushes / nullif(replay.unmap_calls, 0) AS flushes_per_unmap,
    replay.flushes / span.seconds AS flushes_per_second,
    100.0 * (replay.unmap_calls - replay.flushes) / nullif(replay.unmap_calls, 0) AS saved_percent,
    1.0 * replay.commands / nullif(replay.unmap_calls, 0) AS commands_per_unmap,
    replay.commands / span.seconds AS commands_per_second,
    1.0 * stale.windows / nullif(replay.unmap_calls, 0) AS windows_per_unmap,
    stale.p50_ns AS window_p50_ns,
    stale.p90_ns AS window_p90_ns,
    stale.p99_ns AS window_p99_ns,
    stale.max_ns AS window_max_ns,
    CASE WHEN replay.flushes IS NOT NULL THEN coalesce(stale.exposure_page_seconds + stale.censored_page_seconds, 0) / span.seconds END
        AS mean_stale_pages,
    CASE WHEN replay.flushes IS NOT NULL THEN coalesce(stale.peak_stale_pages, 0) END AS peak_stale_pages,
    CASE WHEN replay.flushes IS NOT NULL THEN coalesce(hazards.pages, 0) / span.seconds END AS hazard_pages_per_second,
    1.0 * replay.iotlb_misses / nullif(replay.unmap_calls, 0) AS iotlb_misses_per_unmap,
    replay.stale_hits / span.seconds AS stale_hits_per_second
FROM replay
JOIN span ON span.id = replay.id
LEFT JOIN stale_total AS stale ON stale.replay = replay.id AND stale.told_by = 'trace'
LEFT JOIN hazards ON hazards.replay = replay.id
WHERE instr(replay.options, 'from=') = 0;
