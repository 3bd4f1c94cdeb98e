-- A freed domain has no windows any more. The next one at its address is another one, in which nothing is stale.
SELECT domain, ended, iova, length_ns,
    replace(closed_place, (SELECT source FROM trace), 'log') AS closed_place,
    (SELECT coalesce(sum(pages), 0) FROM hazard_summary) AS hazards
FROM what_was_stale
ORDER BY opened_ns;
