-- iotlb 2 touch-on-map
-- A map of a large and a small page is touched twice, the small page of another map takes the large one's place; it is
-- unmapped and mapped to another page before the flush: the device reads the old one.
SELECT requested, policy, iotlb, accesses, iotlb_hits, iotlb_misses, stale_hits, stale_entries, entries_killed, live_entries_killed,
    commands, options
FROM replay
