-- The device moves to another domain while a window is open: it ends there. What is unmapped while the device is away is
-- unreachable; when it is back, windows open again (design §4 12).
SELECT window_end.name AS ended, device.name AS device, windows, pages, max_ns
FROM window_summary
JOIN window_end ON window_end.id = window_end
JOIN replay ON replay.id = window_summary.replay AND replay.requested = 'fast'
LEFT JOIN device ON device.id = window_summary.device
ORDER BY window_summary.window_end;
