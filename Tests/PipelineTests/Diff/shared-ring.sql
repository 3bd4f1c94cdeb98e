-- policies sync batch=4 queue=4,10ms
-- Two tasks share a ring of four entries, of which three can be used. fio's three calls fill it; wget's one finds it full and flushes
-- what fio left. Its own entry waits for the timer, which flushes in nobody's call. A batch of four is full with wget's call: the
-- sync is wget's (design §4 32).
SELECT replay.requested, device.name AS device, task.comm AS task, flush_summary.unmap_calls, flush_summary.pages_unmapped,
    further_pages, flush_summary.flushes, domain_flushes, flush_summary.unmap_calls - flush_summary.flushes AS saved
FROM flush_summary
JOIN replay ON replay.id = flush_summary.replay
LEFT JOIN device ON device.id = flush_summary.device
LEFT JOIN task ON task.id = flush_summary.task
ORDER BY replay.id, task.id;
