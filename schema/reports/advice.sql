-- Which flush schedule would save more than the kernel's default, and at what exposure?
-- by: trace, domain
-- needs: sweep
-- Parameters: :trace a trace's name, NULL for all; :by 'trace' (the default) or 'domain'; :sweep the number of a sweep, NULL for all.
-- tables leave out: unmap_calls, default_policy, default_flushes, default_saved, default_page_seconds, better_policy, better_flushes, better_page_seconds, next_policy, next_flushes, next_page_seconds, last_policy, last_flushes, last_page_seconds, uncertain, detached_calls, attached, grid, options
-- tables add: answer, rests_on
-- Reads what `iommu-trace sweep` found. default_ is the kernel's queue=256,10ms, for domains that are all unmanaged vfio; better_ the schedule of the front with the fewest
-- flushes among those that beat it in flushes and exposure; next_ the one with the least exposure of those that need at most half as
-- many flushes, if there is none the last; last_ the one with the fewest flushes, of which that with the least exposure: no schedule of the grid saves more.
-- _page_seconds are NULL in a log without times; uncertain: windows in which events were lost, which count in none of them. detached_calls: made while no device
-- was attached, so that their flushes reach no hardware. attached: whether the log shows when devices are.
WITH
point AS (
    SELECT
        sweep_point.*,
        coalesce(sweep_point.domain, 0) AS member,
        -- In whole page-microseconds, as the front is.
        round(exposure_page_seconds + censored_page_seconds, 6) AS page_seconds
    FROM sweep_point
    JOIN sweep ON sweep.id = sweep_point.sweep
    JOIN trace ON trace.id = sweep.trace
    WHERE (:trace IS NULL OR trace.name = :trace)
        AND (:sweep IS NULL OR sweep.id = :sweep)
        AND (sweep_point.domain IS NULL) = (coalesce(:by, 'trace') = 'trace')
),
-- What nobody drives but its owner has no flush queue: there VFIO's way is the default.
kinds AS (
    SELECT sweep_point.sweep, sweep_point.domain AS member, min(domain.kind = 'unmanaged') AS is_unmanaged
    FROM sweep_point
    JOIN domain ON domain.id = sweep_point.domain
    GROUP BY 1, 2
    UNION ALL
    SELECT sweep_point.sweep, 0, min(domain.kind = 'unmanaged')
    FROM sweep_point
    JOIN domain ON domain.id = sweep_point.domain
    GROUP BY 1
),
usual AS (
    SELECT point.*, coalesce(kinds.is_unmanaged, 0) AS is_unmanaged
    FROM point
    LEFT JOIN kinds USING (sweep, member)
    WHERE point.policy = CASE WHEN kinds.is_unmanaged THEN 'vfio' ELSE 'queue=256,10ms' END
),
ranked AS (
    SELECT
        point.*,
        point.flushes <= usual.flushes AND point.page_seconds <= usual.page_seconds AS is_better,
        point.flushes < usual.flushes AND point.page_seconds > usual.page_seconds AS is_beyond,
        row_number() OVER (
            PARTITION BY point.sweep, point.member,
                point.flushes <= usual.flushes AND point.page_seconds <= usual.page_seconds
            ORDER BY point.flushes, point.page_seconds, point.id
        ) AS better_rank,
        row_number() OVER (
            PARTITION BY point.sweep, point.member,
                point.flushes < usual.flushes AND point.page_seconds > usual.page_seconds
            ORDER BY
                point.flushes > usual.flushes / 2,
                CASE WHEN point.flushes <= usual.flushes / 2 THEN point.page_seconds ELSE point.flushes END,
                point.flushes, point.page_seconds, point.id
        ) AS beyond_rank,
        row_number() OVER (
            PARTITION BY point.sweep, point.member ORDER BY point.flushes, point.page_seconds, point.id
        ) AS last_rank
    FROM point
    JOIN usual USING (sweep, member)
    WHERE point.is_pareto
),
chosen AS (
    SELECT
        usual.sweep, usual.member, usual.policy AS default_policy, usual.unmap_calls, usual.flushes AS default_flushes,
        usual.page_seconds AS default_page_seconds, usual.uncertain,
        usual.is_unmanaged, usual.detached_calls, usual.is_pareto AS is_on_front,
        better.policy AS better_policy, better.flushes AS better_flushes, better.page_seconds AS better_page_seconds,
        beyond.policy AS next_policy, beyond.flushes AS next_flushes, beyond.page_seconds AS next_page_seconds,
        last.policy AS last_policy, last.flushes AS last_flushes, last.page_seconds AS last_page_seconds,
        CASE
            WHEN 'assumed' IN (usual.evidence, better.evidence, beyond.evidence, last.evidence) THEN 'assumed'
            ELSE 'modelled'
        END AS evidence
    FROM usual
    LEFT JOIN ranked AS better
        ON better.sweep = usual.sweep AND better.member = usual.member AND better.is_better AND better.better_rank = 1
            AND NOT usual.is_pareto
    LEFT JOIN ranked AS beyond
        ON beyond.sweep = usual.sweep AND beyond.member = usual.member AND beyond.is_beyond AND beyond.beyond_rank = 1
    LEFT JOIN ranked AS last
        ON last.sweep = usual.sweep AND last.member = usual.member AND last.last_rank = 1
)
SELECT
    trace.name AS trace,
    domain.name AS domain,
    unmap_calls,
    default_policy,
    default_flushes,
    unmap_calls - default_flushes AS default_saved,
    CASE WHEN sweep.last_ns > sweep.first_ns THEN default_page_seconds END AS default_page_seconds,
    better_policy,
    better_flushes,
    CASE WHEN sweep.last_ns > sweep.first_ns THEN better_page_seconds END AS better_page_seconds,
    next_policy,
    next_flushes,
    CASE WHEN sweep.last_ns > sweep.first_ns THEN next_page_seconds END AS next_page_seconds,
    last_policy,
    last_flushes,
    CASE WHEN sweep.last_ns > sweep.first_ns THEN last_page_seconds END AS last_page_seconds,
    chosen.uncertain,
    detached_calls,
    CASE WHEN trace.shows_attaches THEN 'recorded' ELSE 'assumed' END AS attached,
    chosen.evidence,
    sweep.grid,
    sweep.options
FROM chosen
JOIN sweep ON sweep.id = chosen.sweep
JOIN trace ON trace.id = sweep.trace
LEFT JOIN domain ON domain.id = chosen.member
ORDER BY sweep.id, chosen.member;
