-- The first window is open where events are lost: it is uncertain, and so is that its address was reused. The second opens
-- afterwards and is certain; but its page was mapped before the loss, so which one it was is not known (design §4 13, 15).
SELECT 'window' AS what, window_end.name || CASE WHEN uncertain THEN ', uncertain' ELSE '' END AS name, windows AS count, max_ns
FROM window_summary
JOIN window_end ON window_end.id = window_end
UNION ALL
SELECT 'reuse', name, pages, NULL
FROM hazard_summary
JOIN hazard_kind ON hazard_kind.id = kind
ORDER BY 1 DESC, 2;
