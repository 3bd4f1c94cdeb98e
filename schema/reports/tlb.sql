-- What would a simulated IOTLB have kept and lost under each policy, and how long were its entries stale?
-- by: trace, domain
-- needs: iotlb
-- Parameters: :trace a trace's name, NULL for all; :by 'trace' (the default) or 'domain'.
-- Reads the replays' summaries only, of those with --iotlb (design §4 22). What fills the cache is an assumption, named in accesses.
-- It bounds nothing: the bound is in report windows.
-- note: deferred_reuse: pages mapped at addresses that an allocator that defers would have withheld; hits and stale hits there come of a strict log's addresses
-- note: modelled: a simulation that rests on what accesses names; no vendor's cache
WITH counted AS (
    SELECT
        replay.id AS replay, 0 AS member, replay.policy, replay.unmap_calls, replay.commands, replay.pages_invalidated,
        replay.over_invalidated_pages, replay.iotlb_hits, replay.iotlb_misses, replay.walk_reads, replay.iotlb_faults,
        replay.stale_hits, replay.stale_entries, replay.entries_killed, replay.live_entries_killed
    FROM replay
    WHERE coalesce(:by, 'trace') = 'trace'
    UNION ALL
    SELECT
        replay, domain, policy, unmap_calls, commands, pages_invalidated, over_invalidated_pages, iotlb_hits, iotlb_misses,
        walk_reads, iotlb_faults, stale_hits, stale_entries, entries_killed, live_entries_killed
    FROM replay_domain
    WHERE :by = 'domain'
),
told AS (
    SELECT
        counted.*, replay.trace, replay.requested, replay.hardware, replay.iotlb, replay.accesses, replay.options,
        counted.iotlb_hits + counted.iotlb_misses + counted.iotlb_faults AS lookups,
        CASE WHEN replay.last_ns > replay.first_ns THEN (replay.last_ns - replay.first_ns) / 1e9 END AS seconds
    FROM counted
    JOIN replay ON replay.id = counted.replay
    WHERE replay.iotlb IS NOT NULL
)
SELECT
    trace.name AS trace,
    domain.name AS domain,
    told.policy,
    told.requested,
    told.hardware,
    told.iotlb,
    told.accesses,
    told.lookups,
    round(told.lookups / told.seconds, 1) AS lookups_per_second,
    told.iotlb_hits AS hits,
    told.iotlb_misses AS misses,
    told.iotlb_faults AS faults,
    round(100.0 * told.iotlb_hits / nullif(told.lookups, 0), 2) AS hit_percent,
    round(told.iotlb_misses / told.seconds, 1) AS misses_per_second,
    told.walk_reads,
    told.stale_hits,
    (
        SELECT CAST(total(hazard_summary.pages) AS INTEGER)
        FROM hazard_summary
        JOIN hazard_kind ON hazard_kind.id = hazard_summary.kind
        WHERE hazard_summary.replay = told.replay AND hazard_kind.name = 'deferred_reuse'
            AND (coalesce(:by, 'trace') <> 'domain' OR hazard_summary.domain = told.member)
    ) AS deferred_reuse,
    round(told.stale_hits / told.seconds, 1) AS stale_hits_per_second,
    told.stale_entries,
    round(100.0 * told.stale_entries / nullif(told.iotlb_misses, 0), 2) AS stale_entry_percent,
    stale.invalidated AS stale_invalidated,
    stale.made_room AS stale_made_room,
    stale.detached AS stale_detached,
    stale.p50_ns AS stale_p50_ns,
    stale.p90_ns AS stale_p90_ns,
    stale.p99_ns AS stale_p99_ns,
    stale.max_ns AS stale_max_ns,
    told.entries_killed,
    told.live_entries_killed,
    round(100.0 * told.live_entries_killed / nullif(told.entries_killed, 0), 2) AS live_killed_percent,
    told.commands,
    told.pages_invalidated,
    told.over_invalidated_pages,
    round(100.0 * told.over_invalidated_pages / nullif(told.pages_invalidated, 0), 2) AS over_invalidated_percent,
    'modelled' AS evidence,
    CASE told.accesses WHEN 'recorded' THEN 'recorded' ELSE 'assumed' END AS accesses_evidence,
    told.options
FROM told
JOIN trace ON trace.id = told.trace
LEFT JOIN domain ON :by = 'domain' AND domain.id = told.member
LEFT JOIN stale_entry_total AS stale
    ON stale.replay = told.replay AND stale.told_by = coalesce(:by, 'trace') AND stale.member = told.member
WHERE :trace IS NULL OR trace.name = :trace
ORDER BY told.replay, told.member;
