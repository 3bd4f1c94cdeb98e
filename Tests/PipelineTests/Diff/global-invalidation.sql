-- An invalidation of everything is none of another hardware domain: no window waits for it, though nothing tells which hardware
-- domain an unmap was of (design §4 10).
SELECT printf('0x%x', iova) AS iova, closed_ns - opened_ns AS length_ns, closed_line
FROM stale_window
ORDER BY iova;
