-- Tracepoints do not name the domain, and two hardware domains flush in turn: an unmap is flushed for certain when both have been
-- since, at the last command of the later one, on both units. That is the first two windows at line 18 and the third at line 20.
-- The fourth does not wait for domain 4, which does not flush again within 100 ms of it. The fifth is open at the end.
SELECT iova, length_ns, ended, policy, evidence,
    replace(unmap_place, (SELECT source FROM trace), 'log') AS unmap_place,
    replace(closed_place, (SELECT source FROM trace), 'log') AS closed_place,
    (SELECT sum(windows) FROM window_summary JOIN window_end ON window_end.id = window_end WHERE name = 'end of log') AS censored
FROM what_was_stale
ORDER BY id;
