-- How many flushes does each policy cost, and how many does it save against a sync for each unmap?
-- by: trace, domain, device, task
-- needs: replay
-- under: contradictions
-- Parameters: :trace a trace's name, NULL for all; :by 'trace' (the default), 'domain', 'device' or 'task'.
-- The iotlb columns are those of a simulated cache (replay --iotlb) and rest on the assumption that accesses names: what devices
-- access. They bound nothing; the bound is in the report windows.
-- Reads the replays' summaries only; whose a flush is by device and task: design §4 32. saved_flushes = unmap_calls - flushes, since
-- sync flushes once for each unmap call.
-- note by device, task: a flush is of the device and task in whose call it runs: who fills a ring pays for all, saved_flushes may be below 0
-- note by device, task: flushes_pending and the iotlb columns are told by trace and domain only
-- note by task: a timer's flush is of no task
WITH
wanted_trace AS (
    SELECT id, name
    FROM trace
    WHERE :trace IS NULL OR name = :trace
),
trace_mode AS (
    -- One word for a whole trace: the mode of its domains that unmap, if they agree.
    SELECT
        replay_domain.replay,
        CASE WHEN count(DISTINCT domain.mode) = 1 THEN min(domain.mode) ELSE 'mixed' END AS mode
    FROM replay_domain
    JOIN domain ON domain.id = replay_domain.domain
    WHERE replay_domain.unmap_calls > 0
    GROUP BY replay_domain.replay
),
own AS (
    -- By device or task; total(), since what a hostile log adds up to is no reason to fail. NULL where a domain of it cannot be told.
    SELECT
        cell.replay, CASE WHEN :by = 'device' THEN coalesce(cell.device, 0) ELSE coalesce(cell.task, 0) END AS member,
        CASE WHEN count(DISTINCT domain.mode) = 1 THEN min(domain.mode) ELSE 'mixed' END AS mode,
        CASE WHEN count(DISTINCT replay_domain.policy) = 1 THEN min(replay_domain.policy) END AS policy,
        group_concat(DISTINCT nullif(replay_domain.reason, '')) AS reason,
        CAST(total(cell.unmap_calls) AS INTEGER) AS unmap_calls, CAST(total(cell.pages_unmapped) AS INTEGER) AS pages_unmapped,
        CASE WHEN count(cell.flushes) = count(*) THEN CAST(total(cell.flushes) AS INTEGER) END AS flushes,
        count(cell.commands) = count(*) AS has_commands, CAST(total(cell.commands) AS INTEGER) AS commands,
        CAST(total(cell.domain_commands) AS INTEGER) AS domain_commands, CAST(total(cell.waits) AS INTEGER) AS waits,
        CAST(total(cell.device_tlb_commands) AS INTEGER) AS device_tlb_commands,
        CAST(total(cell.pages_invalidated) AS INTEGER) AS pages_invalidated,
        CAST(total(cell.over_invalidated_pages) AS INTEGER) AS over_invalidated_pages
    FROM flush_summary AS cell
    JOIN replay_domain ON replay_domain.replay = cell.replay AND replay_domain.domain = cell.domain
    JOIN domain ON domain.id = cell.domain
    WHERE :by IN ('device', 'task')
    GROUP BY 1, 2
),
counted AS (
    SELECT
        replay.id AS replay, 0 AS part, wanted_trace.name AS trace, (replay.last_ns - replay.first_ns) / 1e9 AS seconds, NULL AS domain,
        NULL AS device, NULL AS task,
        replay.policy, replay.requested, replay.options, replay.hz_from, coalesce(trace_mode.mode, 'unknown') AS mode, replay.layer,
        replay.unmap_calls, replay.pages_unmapped, replay.flushes, replay.flushes_pending, replay.evidence,
        replay.hardware, replay.commands, replay.domain_commands, replay.waits, replay.device_tlb_commands,
        replay.pages_invalidated,
        replay.over_invalidated_pages,
        replay.iotlb, replay.accesses, replay.iotlb_hits, replay.iotlb_misses, replay.walk_reads, replay.iotlb_faults, replay.stale_hits,
        replay.stale_entries, replay.entries_killed, replay.live_entries_killed,
        (SELECT group_concat(reason, '; ') FROM (
            SELECT DISTINCT reason FROM replay_domain WHERE replay = replay.id AND reason <> '' AND unmap_calls > 0
        )) AS reason
    FROM replay
    JOIN wanted_trace ON wanted_trace.id = replay.trace
    LEFT JOIN trace_mode ON trace_mode.replay = replay.id
    WHERE coalesce(:by, 'trace') = 'trace'
    UNION ALL
    SELECT
        replay.id, replay_domain.domain, wanted_trace.name, (replay.last_ns - replay.first_ns) / 1e9 AS seconds, domain.name,
        NULL, NULL,
        replay_domain.policy, replay.requested, replay.options, replay.hz_from, domain.mode, replay.layer,
        replay_domain.unmap_calls, replay_domain.pages_unmapped, replay_domain.flushes, replay_domain.flushes_pending,
        replay_domain.evidence,
        replay.hardware, replay_domain.commands, replay_domain.domain_commands, replay_domain.waits,
        replay_domain.device_tlb_commands, replay_domain.pages_invalidated, replay_domain.over_invalidated_pages,
        replay.iotlb, replay.accesses, replay_domain.iotlb_hits, replay_domain.iotlb_misses, replay_domain.walk_reads, replay_domain.iotlb_faults,
        replay_domain.stale_hits, replay_domain.stale_entries, replay_domain.entries_killed,
        replay_domain.live_entries_killed,
        nullif(replay_domain.reason, '')
    FROM replay_domain
    JOIN replay ON replay.id = replay_domain.replay
    JOIN domain ON domain.id = replay_domain.domain
    JOIN wanted_trace ON wanted_trace.id = replay.trace
    WHERE :by = 'domain'
    UNION ALL
    SELECT
        replay.id, own.member, wanted_trace.name, (replay.last_ns - replay.first_ns) / 1e9, NULL,
        CASE WHEN :by = 'device' THEN coalesce(device.name, 'unknown') END,
        CASE
            WHEN :by = 'task' AND own.member = 0 THEN CASE WHEN own.unmap_calls > 0 THEN 'not told apart' ELSE 'no task: timers' END
            WHEN :by = 'task' THEN task.comm || '-' || task.pid
        END,
        coalesce(own.policy, replay.policy), replay.requested, replay.options, replay.hz_from, own.mode, replay.layer,
        own.unmap_calls, own.pages_unmapped, own.flushes, NULL, replay.evidence,
        replay.hardware, iif(has_commands, own.commands, NULL), iif(has_commands, own.domain_commands, NULL),
        iif(has_commands, own.waits, NULL), iif(has_commands, own.device_tlb_commands, NULL),
        iif(has_commands, own.pages_invalidated, NULL), iif(has_commands, own.over_invalidated_pages, NULL),
        replay.iotlb, replay.accesses, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        replace(own.reason, ',', '; ')
    FROM own
    JOIN replay ON replay.id = own.replay
    JOIN wanted_trace ON wanted_trace.id = replay.trace
    LEFT JOIN device ON :by = 'device' AND device.id = own.member
    LEFT JOIN task ON :by = 'task' AND task.id = own.member
)
SELECT
    trace,
    domain,
    device,
    task,
    policy,
    requested,
    mode,
    unmap_calls,
    pages_unmapped,
    flushes,
    flushes_pending,
    unmap_calls - flushes AS saved_flushes,
    CASE WHEN unmap_calls > 0 THEN round(100.0 * (unmap_calls - flushes) / unmap_calls, 2) END AS saved_percent,
    CASE WHEN seconds > 0 THEN round(flushes / seconds, 1) END AS flushes_per_second,
    evidence,
    hardware,
    commands,
    CASE WHEN seconds > 0 THEN round(commands / seconds, 1) END AS commands_per_second,
    domain_commands,
    waits,
    device_tlb_commands,
    pages_invalidated,
    over_invalidated_pages,
    CASE WHEN commands IS NOT NULL THEN 'modelled' END AS hardware_evidence,
    iotlb,
    accesses,
    iotlb_hits,
    iotlb_misses,
    walk_reads,
    iotlb_faults,
    stale_hits,
    stale_entries,
    entries_killed,
    live_entries_killed,
    CASE WHEN iotlb_hits IS NOT NULL THEN 'modelled' END AS iotlb_evidence,
    layer,
    options,
    hz_from,
    reason
FROM counted
ORDER BY replay, part;
