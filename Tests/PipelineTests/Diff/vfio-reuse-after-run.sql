-- The run has one unmap, and VFIO syncs right after it, though only the marker shows that it was the last: the window is closed by
-- then, and what another task does with the page in between happens outside of it.
SELECT iova, length_ns, ended,
    replace(closed_place, (SELECT source FROM trace), 'log') AS closed_place,
    (SELECT coalesce(sum(pages), 0) FROM hazard_summary) AS hazards
FROM what_was_stale;
