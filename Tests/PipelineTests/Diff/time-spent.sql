-- Three calls remove 34 pages: 31 entries beside the first ones, or none if they were superpages. per-page flushes 34 times, sync
-- three times; the queue holds three entries, and its timer flushes the domain once before the log's last map.
SELECT replay.requested, what_takes_time.part, constant, times,
    fewest_times * low_ns AS low_ns, times * typical_ns AS typical_ns, times * high_ns AS high_ns
FROM what_takes_time
JOIN replay ON replay.id = what_takes_time.replay
JOIN cost ON cost.name = what_takes_time.constant
WHERE times > 0
ORDER BY replay.id, cost.id;
