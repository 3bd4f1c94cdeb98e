-- Four addresses are mapped by another task, three of which had been unmapped before: two with the first call's pages behind them.
-- Calls are counted over the log. What stays mapped is of who mapped it.
SELECT churn_total.told_by, task.comm, maps, unmaps, mapped_bytes, unmapped_bytes, iova_reuses, iova_max_ns, iova_p50_calls,
    iova_max_calls, page_reuses, page_max_ns, page_p50_calls, page_max_calls, live_mappings, live_bytes, peak_live_mappings,
    peak_live_bytes
FROM churn_total
LEFT JOIN task ON told_by = 'task' AND task.id = member
WHERE told_by IN ('trace', 'task')
ORDER BY told_by, member;
