-- A log may claim that a sync covered half a page. The page is stale until the rest is flushed, and then it is not: of the two
-- pages after it both are stale at one time.
SELECT iova, size, length_ns, ended,
    (SELECT peak_stale_pages FROM stale_total JOIN replay ON replay.id = stale_total.replay
     WHERE told_by = 'trace' AND requested = 'fast') AS peak_pages
FROM what_was_stale
ORDER BY iova;
