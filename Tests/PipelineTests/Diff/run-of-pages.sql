-- Without flushes of the API a run of commands is one: two commands of two pages cover together the four pages of an unmap, up to
-- the second of them. Two single pages of another unmap leave two holes for the next run.
SELECT iova, size, opened_ns, length_ns, ended,
    replace(unmap_place, (SELECT source FROM trace), 'log') AS unmap_place,
    replace(closed_place, (SELECT source FROM trace), 'log') AS closed_place
FROM what_was_stale
ORDER BY opened_ns, iova;
