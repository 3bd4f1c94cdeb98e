-- One of two devices leaves a domain, then the other is attached elsewhere: only then nothing can reach what is stale, and what
-- is unmapped after that opens no window under any policy. Which of the two devices the first window exposed is not known.
SELECT requested, ended, iova, size, device, opened_ns, length_ns,
    replace(unmap_place, (SELECT source FROM trace), 'log') AS unmap_place,
    replace(closed_place, (SELECT source FROM trace), 'log') AS closed_place
FROM what_was_stale
UNION ALL
SELECT requested, window_end.name, NULL, 4096 * pages, NULL, NULL, NULL, NULL, NULL
FROM window_summary
JOIN window_end ON window_end.id = window_summary.window_end AND window_end.name = 'unreachable'
JOIN replay ON replay.id = window_summary.replay
UNION ALL
SELECT 'hazards', NULL, NULL, coalesce(sum(pages), 0), NULL, NULL, NULL, NULL, NULL FROM hazard_summary;
