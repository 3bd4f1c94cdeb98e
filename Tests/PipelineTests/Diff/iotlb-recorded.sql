-- iotlb 64x8 recorded
-- Two pages are read, one of them twice more after its unmap, which the flush of the log is 19 us late for; that flush
-- takes the other page's entry too. An address that was never mapped faults. Under sync nothing is stale.
SELECT requested, iotlb, accesses, iotlb_hits, iotlb_misses, iotlb_faults, stale_hits, stale_entries, max_ns, entries_killed,
    live_entries_killed,
    (SELECT sum(pages) FROM hazard_summary JOIN hazard_kind ON hazard_kind.id = kind WHERE replay = replay.id AND name = 'access') AS used
FROM replay JOIN stale_entry_total ON replay = replay.id AND told_by = 'trace'
