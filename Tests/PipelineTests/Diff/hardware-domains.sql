-- Nothing tells which hardware domain an unmap was of, and two flush. The first two windows close when both have; of the
-- third the second one cannot be it, for it is flushed only 170 ms later (design §4 10).
SELECT printf('0x%x', iova) AS iova, closed_ns - opened_ns AS length_ns, closed_line
FROM stale_window
ORDER BY iova;
