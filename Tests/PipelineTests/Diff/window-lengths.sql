-- Four windows of 1004, 904, 804 and 704 us close with one flush_all: by nearest rank p50 is the second shortest, p90 and p99
-- the longest. The longest one has 16 of the 19 pages, so by page it is the median too. A fifth stays open to the end of the
-- log, which is its own beginning: censored (design §4 10, 11, 16; 806911 is the bound of 804000's bucket).
SELECT windows, censored, p50_ns, p90_ns, max_ns, page_p50_ns, round(exposure_page_seconds * 1e6) AS exposure_page_us,
    peak_stale_pages AS peak
FROM stale_total
JOIN replay ON replay.id = stale_total.replay
WHERE told_by = 'trace' AND requested = 'fast';
