-- How much time would each policy spend on unmapping and flushing, and how much does it save against a sync for each unmap?
-- by: trace, domain, device, task
-- needs: replay
-- Parameters: :trace a trace's name, NULL for all; :by 'trace' (the default), 'domain', 'device' or 'task' (whose a flush
-- is then: design §4 32); :cost a cost file as JSON, which stands before the built-in constants (table cost), NULL for none.
-- Modelled: counts of the replays' summaries (view what_takes_time) times constants, as an interval. saved is against sync in the
-- same log, by definition one for each unmap call of an attached domain; under a hardware profile it needs the replay of sync there.
-- under: constants, contradictions
-- tables leave out: trace, flush_counts, constants, layer, options
-- note: modelled: counts times constants, low..typical..high; no log shows when a flush is through
-- note: a page is taken for a page-table entry; the low end takes each call for one superpage
-- note by device, task: a flush is of the device and task in whose call it runs, a timer's of no task: who fills a ring pays for all
-- note: not counted: contention, traps of a virtual IOMMU, device TLBs, misses after a flush of a whole domain, IOVAs
WITH
constant AS (
    SELECT
        cost.id, cost.name, coalesce(given.low_ns, cost.low_ns) AS low_ns,
        coalesce(given.typical_ns, cost.typical_ns) AS typical_ns, coalesce(given.high_ns, cost.high_ns) AS high_ns,
        coalesce(given.file, cost.file) AS file
    FROM cost
    LEFT JOIN (
        SELECT
            json_extract(value, '$.name') AS name, json_extract(value, '$.low') AS low_ns,
            json_extract(value, '$.typical') AS typical_ns, json_extract(value, '$.high') AS high_ns,
            json_extract(value, '$.file') AS file
        FROM json_each(:cost)
    ) AS given ON given.name = cost.name
),
counted AS (
    SELECT
        replay.id AS replay, 0 AS member, replay.policy, replay.unmap_calls, replay.flushes, replay.commands, replay.waits,
        replay.evidence,
        (SELECT total(part.unmap_calls - part.detached_calls) FROM replay_domain AS part WHERE part.replay = replay.id)
            AS attached_calls
    FROM replay
    WHERE coalesce(:by, 'trace') = 'trace'
    UNION ALL
    SELECT
        replay, domain, policy, unmap_calls, flushes, commands, waits, evidence, unmap_calls - detached_calls
    FROM replay_domain
    WHERE :by = 'domain'
    UNION ALL
    SELECT
        cell.replay, CASE :by WHEN 'device' THEN coalesce(cell.device, 0) ELSE coalesce(cell.task, 0) END,
        CASE WHEN count(DISTINCT replay_domain.policy) = 1 THEN min(replay_domain.policy) ELSE replay.policy END,
        CAST(total(cell.unmap_calls) AS INTEGER),
        CASE WHEN count(cell.flushes) = count(*) THEN CAST(total(cell.flushes) AS INTEGER) END,
        CASE WHEN count(cell.commands) = count(*) THEN CAST(total(cell.commands) AS INTEGER) END,
        CASE WHEN count(cell.waits) = count(*) THEN CAST(total(cell.waits) AS INTEGER) END,
        replay.evidence, total(cell.unmap_calls - cell.detached_calls)
    FROM flush_summary AS cell
    JOIN replay ON replay.id = cell.replay
    JOIN replay_domain ON replay_domain.replay = cell.replay AND replay_domain.domain = cell.domain
    WHERE :by IN ('device', 'task')
    GROUP BY 1, 2
),
step AS (
    SELECT
        replay,
        CASE :by WHEN 'domain' THEN domain WHEN 'device' THEN coalesce(device, 0) WHEN 'task' THEN coalesce(task, 0) ELSE 0 END
            AS member,
        part, constant, total(times) AS times,
        total(fewest_times) AS fewest_times
    FROM what_takes_time
    GROUP BY 1, 2, 3, 4
),
spent AS (
    SELECT
        step.replay, step.member,
        total(fewest_times * low_ns) FILTER (WHERE part = 'page table') AS page_table_low,
        total(times * typical_ns) FILTER (WHERE part = 'page table') AS page_table_typical,
        total(times * high_ns) FILTER (WHERE part = 'page table') AS page_table_high,
        total(fewest_times * low_ns) FILTER (WHERE part = 'queue') AS queue_low,
        total(times * typical_ns) FILTER (WHERE part = 'queue') AS queue_typical,
        total(times * high_ns) FILTER (WHERE part = 'queue') AS queue_high,
        total(fewest_times * low_ns) FILTER (WHERE part = 'flush') AS flush_low,
        total(times * typical_ns) FILTER (WHERE part = 'flush') AS flush_typical,
        total(times * high_ns) FILTER (WHERE part = 'flush') AS flush_high
    FROM step
    JOIN constant ON constant.name = step.constant
    GROUP BY step.replay, step.member
),
used AS (
    SELECT
        replay, member, group_concat(text, ', ') AS constants, group_concat(DISTINCT file) AS files
    FROM (
        SELECT
            step.replay, step.member, constant.file,
            printf('%s %.15g..%.15g..%.15g ns', constant.name, low_ns, typical_ns, high_ns) AS text
        FROM step
        JOIN constant ON constant.name = step.constant
        WHERE step.times > 0
        ORDER BY step.replay, step.member, constant.id
    )
    GROUP BY replay, member
),
rival AS (
    -- The replay of sync that a replay under a hardware profile is held against: the same log or part of it, the same page sizes,
    -- which are the first word of options there.
    SELECT replay.id AS replay, max(sync.id) AS sync
    FROM replay
    JOIN replay AS sync
        ON sync.trace = replay.trace AND sync.policy = 'sync' AND sync.hardware = replay.hardware
        AND sync.first_ns = replay.first_ns AND sync.last_ns = replay.last_ns
        AND substr(sync.options, 1, instr(sync.options || ' ', ' ')) = substr(replay.options, 1, instr(replay.options || ' ', ' '))
    GROUP BY replay.id
),
difference AS (
    -- How much more often sync does a step than the policy. Each constant is the same one on both sides, so the interval of what is
    -- saved is narrower than that of two independent sums. Page tables cost both the same.
    SELECT replay, member, constant, sum(times) AS times
    FROM (
        SELECT step.replay, step.member, step.constant, -step.times AS times
        FROM step
        WHERE step.part <> 'page table'
        UNION ALL
        SELECT counted.replay, counted.member, 'sync', counted.attached_calls
        FROM counted
        WHERE counted.commands IS NULL
        UNION ALL
        SELECT rival.replay, step.member, step.constant, step.times
        FROM rival
        JOIN step ON step.replay = rival.sync AND step.part <> 'page table'
    )
    GROUP BY replay, member, constant
),
saved AS (
    SELECT
        difference.replay, member,
        sum(times * CASE WHEN times > 0 THEN low_ns ELSE high_ns END) AS low,
        sum(times * typical_ns) AS typical,
        sum(times * CASE WHEN times > 0 THEN high_ns ELSE low_ns END) AS high
    FROM difference
    JOIN constant ON constant.name = difference.constant
    GROUP BY difference.replay, member
),
shown AS (
    -- What the log cannot tell has no time either.
    SELECT
        counted.*,
        page_table_low, page_table_typical, page_table_high, queue_low, queue_typical, queue_high,
        CASE WHEN counted.flushes IS NOT NULL THEN flush_low END AS flush_low,
        CASE WHEN counted.flushes IS NOT NULL THEN flush_typical END AS flush_typical,
        CASE WHEN counted.flushes IS NOT NULL THEN flush_high END AS flush_high,
        CASE WHEN counted.flushes IS NOT NULL AND (counted.commands IS NULL OR rival.sync IS NOT NULL) THEN 1 END AS is_comparable,
        CASE WHEN replay.last_ns > replay.first_ns THEN 1.0 * (replay.last_ns - replay.first_ns) END AS span,
        replay.trace, replay.requested, replay.hardware, replay.layer, replay.options
    FROM counted
    JOIN replay ON replay.id = counted.replay
    LEFT JOIN spent ON spent.replay = counted.replay AND spent.member = counted.member
    LEFT JOIN rival ON rival.replay = counted.replay
)
SELECT
    trace.name AS trace,
    domain.name AS domain,
    CASE WHEN :by = 'device' THEN coalesce(device.name, 'unknown') END AS device,
    CASE
        WHEN :by = 'task' AND shown.member = 0 THEN CASE WHEN shown.unmap_calls > 0 THEN 'not told apart' ELSE 'no task: timers' END
        WHEN :by = 'task' THEN task.comm || '-' || task.pid
    END AS task,
    shown.policy,
    shown.requested,
    shown.hardware,
    shown.unmap_calls,
    shown.flushes,
    shown.commands,
    shown.waits,
    round((flush_low + queue_low + page_table_low) / 1e6, 6) AS total_low_ms,
    round((flush_typical + queue_typical + page_table_typical) / 1e6, 6) AS total_typical_ms,
    round((flush_high + queue_high + page_table_high) / 1e6, 6) AS total_high_ms,
    round(page_table_low / 1e6, 6) AS page_table_low_ms,
    round(page_table_typical / 1e6, 6) AS page_table_typical_ms,
    round(page_table_high / 1e6, 6) AS page_table_high_ms,
    round(queue_low / 1e6, 6) AS queue_low_ms,
    round(queue_typical / 1e6, 6) AS queue_typical_ms,
    round(queue_high / 1e6, 6) AS queue_high_ms,
    round(flush_low / 1e6, 6) AS flush_low_ms,
    round(flush_typical / 1e6, 6) AS flush_typical_ms,
    round(flush_high / 1e6, 6) AS flush_high_ms,
    round(is_comparable * saved.low / 1e6, 6) AS saved_low_ms,
    round(is_comparable * saved.typical / 1e6, 6) AS saved_typical_ms,
    round(is_comparable * saved.high / 1e6, 6) AS saved_high_ms,
    round(100 * (flush_low + queue_low + page_table_low) / span, 3) AS cpu_low_percent,
    round(100 * (flush_typical + queue_typical + page_table_typical) / span, 3) AS cpu_typical_percent,
    round(100 * (flush_high + queue_high + page_table_high) / span, 3) AS cpu_high_percent,
    'modelled' AS evidence,
    shown.evidence AS flush_counts,
    used.files AS cost_file,
    used.constants,
    shown.layer,
    shown.options
FROM shown
JOIN trace ON trace.id = shown.trace
LEFT JOIN domain ON :by = 'domain' AND domain.id = shown.member
LEFT JOIN device ON :by = 'device' AND device.id = shown.member
LEFT JOIN task ON :by = 'task' AND task.id = shown.member
LEFT JOIN used ON used.replay = shown.replay AND used.member = shown.member
LEFT JOIN saved ON saved.replay = shown.replay AND saved.member = shown.member
WHERE :trace IS NULL OR trace.name = :trace
ORDER BY shown.replay, shown.member;
