-- Where the log announces a loss, the flush is through to its descriptor: the first window is not open there, and certain.
SELECT stale.windows, stale.uncertain, stale.censored, stale.max_ns
FROM stale_total AS stale
JOIN replay ON replay.id = stale.replay
WHERE told_by = 'trace' AND requested = 'fast';
