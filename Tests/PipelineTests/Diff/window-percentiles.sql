-- Ten windows of 10, 20, ... 100 us are flushed at once; the shortest has 91 pages, the others one each. By nearest rank p50 is
-- the fifth, p90 the ninth and p99 the tenth; half of the pages were open for 10 us, and 99 % of them no longer than the
-- ninth. Each is its bucket's upper bound, but no more than the longest. The eleventh window is open when the log ends, 50 us on.
SELECT replay.requested, stale.windows, stale.censored, stale.uncertain, stale.unreachable_pages,
    stale.p50_ns, stale.p90_ns, stale.p99_ns, stale.page_p50_ns, stale.page_p99_ns, stale.max_ns,
    CAST(round(stale.exposure_page_seconds * 1e9) AS INTEGER) AS exposure_page_ns,
    CAST(round(stale.censored_page_seconds * 1e9) AS INTEGER) AS censored_page_ns, stale.peak_stale_pages AS peak_pages
FROM replay
JOIN stale_total AS stale ON stale.replay = replay.id AND stale.told_by = 'trace'
ORDER BY replay.id;
