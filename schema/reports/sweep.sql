-- Which flush schedules save the most flushes for the exposure that they cost?
-- by: trace, domain
-- needs: sweep
-- Parameters: :trace a trace's name, NULL for all; :by 'trace' (the default) or 'domain'; :sweep the number of a sweep, NULL for all.
-- tables leave out: unmap_calls, flushes_pending, saved_flushes, flushes_per_second, exposure_page_seconds, censored_page_seconds, windows, censored, uncertain, hazards_access, hazards_iova_reuse, hazards_page_reuse, deferred_reuse, hardware, waits, in_grid, kernel_default, family, calls, wait_ns, attached, grid, options
-- Reads what `iommu-trace sweep` found, from the most flushes to the fewest. front is * where no schedule of the grid and no default
-- of the kernel has both fewer flushes and less exposure (design §4 31). page_seconds = exposure_page_seconds +
-- censored_page_seconds; hazards = hazards_access + hazards_iova_reuse + hazards_page_reuse.
-- note: *: nothing in the grid has both fewer flushes and less exposure; page_seconds is a bound of what an IOTLB may have kept; what is open at the end of the log counts up to there
WITH
assumption AS (
    -- Whether any domain that unmaps is only taken to have a device.
    SELECT sweep_point.sweep, max(domain.assumed_attached AND NOT domain.was_attached) AS any_domain
    FROM sweep_point
    JOIN domain ON domain.id = sweep_point.domain
    GROUP BY sweep_point.sweep
)
SELECT
    trace.name AS trace,
    domain.name AS domain,
    CASE WHEN point.is_pareto THEN '*' ELSE '' END AS front,
    point.policy,
    point.mark,
    point.unmap_calls,
    point.flushes,
    point.flushes_pending,
    point.unmap_calls - point.flushes AS saved_flushes,
    CASE WHEN point.unmap_calls > 0 THEN round(100.0 * (point.unmap_calls - point.flushes) / point.unmap_calls, 2) END
        AS saved_percent,
    CASE WHEN sweep.last_ns > sweep.first_ns
        THEN round(point.flushes * 1e9 / (CAST(sweep.last_ns AS REAL) - sweep.first_ns), 1) END AS flushes_per_second,
    round(point.exposure_page_seconds + point.censored_page_seconds, 6) AS page_seconds,
    point.exposure_page_seconds,
    point.censored_page_seconds,
    point.windows,
    point.censored,
    point.uncertain,
    point.p50_ns,
    point.p99_ns,
    point.max_ns,
    point.peak_stale_pages,
    -- As reals: the sum of what a hostile log makes of them is more than an integer holds.
    CAST(0.0 + point.hazards_access + point.hazards_iova_reuse + point.hazards_page_reuse AS INTEGER) AS hazards,
    point.hazards_access,
    point.hazards_iova_reuse,
    point.hazards_page_reuse,
    point.deferred_reuse,
    sweep.hardware,
    point.commands,
    point.waits,
    point.is_in_grid AS in_grid,
    point.is_kernel_default AS kernel_default,
    point.family,
    point.calls,
    point.wait_ns,
    point.evidence,
    CASE
        WHEN NOT trace.shows_attaches OR coalesce(domain.assumed_attached AND NOT domain.was_attached, assumption.any_domain)
            THEN 'assumed'
        ELSE 'recorded'
    END AS attached,
    sweep.grid,
    sweep.options
FROM sweep_point AS point
JOIN sweep ON sweep.id = point.sweep
JOIN trace ON trace.id = sweep.trace
LEFT JOIN domain ON domain.id = point.domain
LEFT JOIN assumption ON assumption.sweep = sweep.id
WHERE (:trace IS NULL OR trace.name = :trace)
    AND (:sweep IS NULL OR sweep.id = :sweep)
    AND (point.domain IS NULL) = (coalesce(:by, 'trace') = 'trace')
ORDER BY sweep.id, point.domain, point.flushes DESC, page_seconds, point.family, point.calls, point.wait_ns;
