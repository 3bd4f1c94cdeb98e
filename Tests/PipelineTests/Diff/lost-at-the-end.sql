-- No operation follows the loss, but the window is open where it is announced: uncertain, not merely censored.
SELECT stale.windows, stale.uncertain, stale.censored, stale.max_ns
FROM stale_total AS stale
JOIN replay ON replay.id = stale.replay
WHERE told_by = 'trace' AND requested = 'fast';
