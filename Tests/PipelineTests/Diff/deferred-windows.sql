-- Where the kernel defers, a window lasts from the tracepoint inside the unmap to the descriptor of the flush_all, and the log
-- says where both are. The last one is open at the end of the log and so not among the longest; per-page and sync have none.
SELECT requested, iova, size, opened_ns, closed_ns, length_ns, ended, uncertain, device, task, policy, evidence,
    replace(unmap_place, (SELECT source FROM trace), 'log') AS unmap_place,
    replace(closed_place, (SELECT source FROM trace), 'log') AS closed_place
FROM what_was_stale
ORDER BY id;
