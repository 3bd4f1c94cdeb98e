-- A strict DMA domain under a flush queue: the first call arms the timer, which fires on the tick at 100.016 s and closes both
-- windows; no line shows it. The kernel gave out an address again that a deferring allocator would have withheld: no hazard. What
-- is mapped at the very moment of the timer comes after it.
SELECT stale.iova, stale.size, stale.closed_ns, stale.length_ns, stale.ended, stale.closed_place, stale.policy, stale.evidence,
    found.kind, found.is_hazard, found.age_ns,
    (SELECT group_concat(name || ' ' || pages, ', ') FROM hazard_summary JOIN hazard_kind ON hazard_kind.id = kind
     ORDER BY kind) AS counted
FROM what_was_stale AS stale
LEFT JOIN what_was_reused_while_stale AS found ON found.unmap_place = stale.unmap_place
ORDER BY stale.id;
