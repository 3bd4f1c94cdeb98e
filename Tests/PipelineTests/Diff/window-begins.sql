-- A window begins at the tracepoint inside the call, without one when unmap_fast returns, and where neither tells, when unmap
-- is entered. It has the bytes that were removed: half of those asked for, in one call none and so no window.
SELECT iova, size, opened_ns, length_ns,
    replace(unmap_place, (SELECT source FROM trace), 'log') AS unmap_place
FROM what_was_stale
ORDER BY opened_ns;
