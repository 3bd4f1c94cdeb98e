-- A sync covers one of the four pages of a call: that page's window closes, those before and behind it stay open as two until
-- the flush_all. Lengths end at the descriptors, 4 and 5 us after the calls (design §4 10).
SELECT printf('0x%x', stale_window.iova) AS iova, stale_window.size / 4096 AS pages, closed_ns - opened_ns AS length_ns, window_end.name AS ended,
    operation.line AS unmap_line, closed_line
FROM stale_window
JOIN window_end ON window_end.id = window_end
JOIN operation ON operation.id = stale_window.operation
ORDER BY stale_window.iova;
