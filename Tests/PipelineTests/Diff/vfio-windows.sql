-- VFIO gathers three pages in a row and syncs when the fourth does not follow: right after the third. The sync of the fourth comes
-- when the task goes on to something else, right after it.
SELECT iova, opened_ns, length_ns, ended, policy,
    replace(unmap_place, (SELECT source FROM trace), 'log') AS unmap_place,
    replace(closed_place, (SELECT source FROM trace), 'log') AS closed_place
FROM what_was_stale
ORDER BY opened_ns;
