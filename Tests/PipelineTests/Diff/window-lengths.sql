-- Four windows of 1004, 904, 804 and 704 us close with one flush_all: by nearest rank p50 is the second shortest, p90 and p99
-- the longest. The longest one has 16 of the 19 pages, so by page it is the median too. A fifth stays open to the end of the
-- log, which is its own beginning: censored (design §4 10, 11, 16; 806911 is the bound of 804000's bucket).
SELECT windows, censored, min(p50_ns, max_ns) AS p50_ns, min(p90_ns, max_ns) AS p90_ns, max_ns, min(page_p50_ns, max_ns) AS page_p50_ns,
    round(exposure_page_seconds * 1e6) AS exposure_page_us, stale_peak.pages AS peak
FROM how_much_was_stale AS stale
JOIN how_long_windows_were_open USING (told_by, replay, member)
JOIN stale_peak USING (told_by, replay, member)
WHERE told_by = 'trace';
