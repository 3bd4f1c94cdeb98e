-- A callback that does not fit the gather makes the call sync before it returns: what the same CPU and task flushed between the
-- call's entry and the tracepoint opens no window. Another CPU's sync came before the entries were clear and covers nothing of
-- the call; nor does one before the call's entry.
SELECT iova, size, opened_ns, closed_ns, length_ns, ended,
    replace(unmap_place, (SELECT source FROM trace), 'log') AS unmap_place,
    replace(closed_place, (SELECT source FROM trace), 'log') AS closed_place,
    (SELECT peak_stale_pages FROM stale_total JOIN replay ON replay.id = stale_total.replay
     WHERE told_by = 'trace' AND requested = 'fast') AS peak_pages
FROM what_was_stale
ORDER BY iova;
