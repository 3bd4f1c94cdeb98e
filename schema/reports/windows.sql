-- How long could devices still reach what was unmapped, how much of it, and what was used again meanwhile?
-- by: trace, domain, device, task
-- needs: replay
-- under: contradictions
-- Parameters: :trace a trace's name, NULL for all; :by 'trace' (the default), 'domain', 'device' or 'task'.
-- Reads the replays' summaries only. Lengths are those of closed windows; what is open at the end of the log is in censored, for how
-- long it has been in censored_max_ns. page_seconds = exposure_page_seconds + censored_page_seconds, a lower bound where anything is
-- open; mean_stale_pages is that over the time of the log. Hazards are in 4096-byte pages, accesses in faults.
WITH
member AS (
    SELECT id AS replay, 0 AS member FROM replay WHERE coalesce(:by, 'trace') = 'trace'
    UNION
    SELECT replay, domain FROM replay_domain WHERE :by = 'domain' AND unmap_calls > 0
    UNION
    SELECT replay, member FROM stale_total WHERE told_by = :by AND :by IN ('device', 'task')
),
reuse AS (
    SELECT
        replay,
        CASE WHEN :by = 'domain' THEN domain WHEN :by = 'device' THEN coalesce(device, 0)
            WHEN :by = 'task' THEN coalesce(task, 0) ELSE 0 END AS member,
        CAST(total(pages) FILTER (WHERE hazard_kind.name = 'access') AS INTEGER) AS access,
        CAST(total(pages) FILTER (WHERE hazard_kind.name = 'iova_reuse') AS INTEGER) AS iova_reuse,
        CAST(total(pages) FILTER (WHERE hazard_kind.name = 'page_reuse') AS INTEGER) AS page_reuse,
        CAST(total(pages) FILTER (WHERE hazard_kind.name = 'deferred_reuse') AS INTEGER) AS deferred_reuse,
        CAST(total(pages) FILTER (WHERE hazard_kind.name = 'model_timing_error') AS INTEGER) AS model_timing_error,
        CAST(total(pages) FILTER (WHERE hazard_kind.name = 'same_page_remap') AS INTEGER) AS same_page_remap,
        CAST(total(pages) FILTER (WHERE hazard_kind.name = 'recycled') AS INTEGER) AS recycled,
        CAST(total(pages) FILTER (WHERE hazard_kind.name = 'unknown_page') AS INTEGER) AS unknown_page,
        CAST(total(pages) FILTER (WHERE hazard_kind.name = 'uncertain') AS INTEGER) AS uncertain
    FROM hazard_summary
    JOIN hazard_kind ON hazard_kind.id = hazard_summary.kind
    GROUP BY 1, 2
),
ended AS (
    SELECT replay, member, group_concat(name || ' ' || windows, ', ') AS ends
    FROM (
        SELECT
            replay,
            CASE WHEN :by = 'domain' THEN domain WHEN :by = 'device' THEN coalesce(device, 0)
                WHEN :by = 'task' THEN coalesce(task, 0) ELSE 0 END AS member,
            window_end.name, sum(windows) AS windows
        FROM window_summary
        JOIN window_end ON window_end.id = window_summary.window_end
        WHERE NOT uncertain AND window_end.name NOT IN ('end of log', 'unreachable')
        GROUP BY 1, 2, 3
        ORDER BY windows DESC
    )
    GROUP BY replay, member
),
-- What is still open: it may last for any time longer.
still_open AS (
    SELECT
        replay,
        CASE WHEN :by = 'domain' THEN domain WHEN :by = 'device' THEN coalesce(device, 0)
            WHEN :by = 'task' THEN coalesce(task, 0) ELSE 0 END AS member,
        max(max_ns) AS max_ns
    FROM window_summary
    JOIN window_end ON window_end.id = window_summary.window_end
    WHERE NOT uncertain AND window_end.name = 'end of log'
    GROUP BY 1, 2
)
SELECT
    trace.name AS trace,
    CASE WHEN :by = 'domain' THEN domain.name END AS domain,
    CASE WHEN :by = 'device' THEN coalesce(device.name, 'unknown') END AS device,
    CASE WHEN :by = 'task' THEN coalesce(task.comm || '-' || task.pid, 'unknown') END AS task,
    coalesce(replay_domain.policy, replay.policy) AS policy,
    replay.requested,
    CASE WHEN replay.flushes IS NOT NULL THEN coalesce(stale.windows, 0) END AS windows,
    CASE WHEN replay.flushes IS NOT NULL THEN coalesce(stale.censored, 0) END AS censored,
    CASE WHEN replay.flushes IS NOT NULL THEN coalesce(stale.uncertain, 0) END AS uncertain,
    coalesce(stale.unreachable_pages, 0) AS unreachable_pages,
    timed.p50_ns,
    timed.p90_ns,
    timed.p99_ns,
    timed.max_ns,
    CASE WHEN replay.last_ns > replay.first_ns THEN still_open.max_ns END AS censored_max_ns,
    timed.page_p50_ns,
    timed.page_p99_ns,
    CASE WHEN replay.flushes IS NOT NULL AND replay.last_ns > replay.first_ns THEN round(coalesce(stale.exposure_page_seconds, 0.0), 6) END AS exposure_page_seconds,
    CASE WHEN replay.flushes IS NOT NULL AND replay.last_ns > replay.first_ns THEN round(coalesce(stale.censored_page_seconds, 0.0), 6) END AS censored_page_seconds,
    CASE WHEN replay.flushes IS NOT NULL AND replay.last_ns > replay.first_ns
        THEN round(coalesce(stale.exposure_page_seconds + stale.censored_page_seconds, 0.0), 6) END AS page_seconds,
    CASE WHEN replay.flushes IS NOT NULL THEN coalesce(stale.peak_stale_pages, 0) END AS peak_stale_pages,
    CASE WHEN replay.flushes IS NOT NULL AND replay.last_ns > replay.first_ns
        THEN round(coalesce(stale.windows, 0) * 1e9 / (replay.last_ns - replay.first_ns), 1) END AS windows_per_second,
    CASE WHEN replay.flushes IS NOT NULL AND replay.last_ns > replay.first_ns
        THEN round(coalesce(stale.exposure_page_seconds + stale.censored_page_seconds, 0) * 1e9 / (replay.last_ns - replay.first_ns), 3)
        END AS mean_stale_pages,
    CASE WHEN replay.flushes IS NOT NULL THEN coalesce(reuse.access, 0) END AS hazards_access,
    CASE WHEN replay.flushes IS NOT NULL THEN coalesce(reuse.iova_reuse, 0) END AS hazards_iova_reuse,
    CASE WHEN replay.flushes IS NOT NULL THEN coalesce(reuse.page_reuse, 0) END AS hazards_page_reuse,
    CASE WHEN replay.flushes IS NOT NULL THEN coalesce(reuse.deferred_reuse, 0) END AS deferred_reuse,
    CASE WHEN replay.flushes IS NOT NULL THEN coalesce(reuse.model_timing_error, 0) END AS model_timing_error,
    CASE WHEN replay.flushes IS NOT NULL THEN coalesce(reuse.same_page_remap, 0) END AS same_page_remap,
    CASE WHEN replay.flushes IS NOT NULL THEN coalesce(reuse.recycled, 0) END AS recycled,
    CASE WHEN replay.flushes IS NOT NULL THEN coalesce(reuse.unknown_page, 0) END AS unknown_page,
    CASE WHEN replay.flushes IS NOT NULL THEN coalesce(reuse.uncertain, 0) END AS uncertain_reuse,
    ended.ends AS ended_by,
    coalesce(replay_domain.evidence, replay.evidence) AS evidence,
    CASE
        WHEN NOT trace.shows_attaches OR EXISTS (
            SELECT 1
            FROM replay_domain AS part
            JOIN domain AS own ON own.id = part.domain
            WHERE part.replay = replay.id AND part.unmap_calls > 0 AND own.assumed_attached AND NOT own.was_attached
                AND (:by IS NULL OR :by <> 'domain' OR own.id = member.member)
        ) THEN 'assumed'
        ELSE 'recorded'
    END AS attached,
    replay.layer,
    replay.options
FROM member
JOIN replay ON replay.id = member.replay
JOIN trace ON trace.id = replay.trace
LEFT JOIN stale_total AS stale
    ON stale.replay = member.replay AND stale.told_by = coalesce(:by, 'trace') AND stale.member = member.member
-- A log without times, or of one moment, tells how many windows there are and not how long they last.
LEFT JOIN stale_total AS timed
    ON timed.replay = stale.replay AND timed.told_by = stale.told_by AND timed.member = stale.member AND replay.last_ns > replay.first_ns
LEFT JOIN reuse ON reuse.replay = member.replay AND reuse.member = member.member
LEFT JOIN still_open ON still_open.replay = member.replay AND still_open.member = member.member
LEFT JOIN ended ON ended.replay = member.replay AND ended.member = member.member
LEFT JOIN domain ON :by = 'domain' AND domain.id = member.member
LEFT JOIN device ON :by = 'device' AND device.id = member.member
LEFT JOIN task ON :by = 'task' AND task.id = member.member
LEFT JOIN replay_domain ON :by = 'domain' AND replay_domain.replay = member.replay AND replay_domain.domain = member.member
WHERE :trace IS NULL OR trace.name = :trace
ORDER BY replay.id, member.member;
