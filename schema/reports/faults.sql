-- What did each fault hit: which unmap and which map of its address came last, and could a flush queue have hidden it?
-- by: fault, trace, domain, device, task
-- nothing found: no fault: the log records none, neither as an event nor in the kernel log
-- tables leave out: fault_task, unmap_iova, unmap_size, map_size, flushed_ns, schedule, hidden_because, replay_flushed_ns, queue_longest_ns, hz, hz_evidence, unmapped_ns_ago, mapped_ns_ago, unmap_task, map_task
-- tables add by fault: in_words
-- at most by fault: 10000 of faults
-- note: hidden: with the kernel's flush queue of 256 entries and 10 ms (queue=256,10ms) the access might have gone through unnoticed; unmanaged domains (VFIO's) have none.
-- note by trace, domain, device, task: fault_place is that of the first fault; a task is whoever unmapped the address, or mapped it where nothing was unmapped.
-- Parameters: :trace a trace's name, NULL for all; :by 'fault' (the default: the first 10000 of a trace, each by itself), or 'trace',
-- 'domain', 'device', 'task' (all of them, counted).
-- The last unmap and map are looked for in the domain of the device where that is known and had the address, otherwise in any domain
-- of the trace (design §4 28). One pass over the operations before the last of those faults.
-- domain_is: whose the unmap and the map are: 'recorded', of the domain that the device was in; 'only known', of the one that the log
-- shows it in or that is named after it; 'any', of whichever domain had the address. flushed_ns: from the unmap to the flush.
-- hidden, a use after unmap, under schedule, the kernel's for such a domain; hidden_because: 'replay', its window is known
-- (replay_flushed_ns: from the unmap to its end, NULL if that is not in the log); 'unmanaged', its owner's flushes are not a queue's; 'age', by
-- the time since the unmap and the longest that such a queue waits (queue_longest_ns, at a timer of hz ticks a second); 'no times'.
WITH
counted AS (
    SELECT
        operation.id, operation.trace, operation.time_ns, operation.line, operation.task, operation.device, operation.iova,
        operation.detail, operation.iova >> 12 AS page, operation.domain AS recorded,
        row_number() OVER (PARTITION BY operation.trace ORDER BY operation.id) AS number,
        count(*) OVER (PARTITION BY operation.trace) AS faults
    FROM fault
    CROSS JOIN operation ON operation.id = fault.operation
    JOIN trace ON trace.id = operation.trace
    WHERE :trace IS NULL OR trace.name = :trace
),
hit AS MATERIALIZED (
    SELECT counted.*, coalesce(counted.recorded, where_a_device_is.domain) AS domain
    FROM counted
    LEFT JOIN where_a_device_is ON where_a_device_is.device = counted.device
    WHERE counted.number <= CASE WHEN :by = 'fault' THEN 10000 ELSE 9223372036854775807 END
),
page AS MATERIALIZED (SELECT DISTINCT trace, page FROM hit WHERE page IS NOT NULL),
-- The pages by the blocks that hold them: a range of at most 2^shift pages that holds a page begins in its block or in the one
-- before. One equality finds them, however many there are.
level(level, shift, back) AS (
    VALUES (0, 0, 0), (1, 1, 0), (1, 1, 1), (2, 3, 0), (2, 3, 1), (3, 5, 0), (3, 5, 1), (4, 9, 0), (4, 9, 1), (5, 18, 0),
        (5, 18, 1)
),
block AS MATERIALIZED (
    SELECT ((page.page >> level.shift) - level.back) * 8 + level.level AS block, page.trace, page.page
    FROM page
    CROSS JOIN level
    UNION ALL
    SELECT 6, trace, page FROM page
),
touched AS MATERIALIZED (
    SELECT operation.id, block.trace, block.page, operation.domain, operation.kind
    FROM (SELECT trace, max(id) AS id FROM hit WHERE page IS NOT NULL GROUP BY trace) AS last
    CROSS JOIN trace ON trace.id = last.trace
    CROSS JOIN (
        -- What an unmap removed counts, which is more than asked for where it split no larger page.
        SELECT
            id, domain, kind, flags, iova,
            CASE WHEN kind = 1 THEN min(size, coalesce(result, size)) ELSE coalesce(result, size) END AS size
        FROM operation
    ) AS operation ON operation.id BETWEEN trace.first_operation AND last.id - 1
    CROSS JOIN block ON block.block = CASE -- by the pages that it touches: one of 4096 bytes may touch two
        WHEN (operation.iova & 4095) + operation.size <= 4096 THEN operation.iova >> 9 & -8
        WHEN (operation.iova & 4095) + operation.size <= 8192 THEN operation.iova >> 10 & -8 | 1
        WHEN (operation.iova & 4095) + operation.size <= 32768 THEN operation.iova >> 12 & -8 | 2
        WHEN (operation.iova & 4095) + operation.size <= 131072 THEN operation.iova >> 14 & -8 | 3
        WHEN (operation.iova & 4095) + operation.size <= 2097152 THEN operation.iova >> 18 & -8 | 4
        WHEN (operation.iova & 4095) + operation.size <= 1073741824 THEN operation.iova >> 27 & -8 | 5
        ELSE 6 END
    -- A size-0 unmap, an unmap of nothing and a map that failed change nothing.
    WHERE operation.kind < 4 AND +block.trace = trace.id AND operation.flags & 32 = 0 AND operation.size > 0
        AND block.page - (operation.iova >> 12) BETWEEN 0 AND ((operation.iova & 4095) + operation.size - 1) >> 12
),
-- Maps, unmaps and faults of each page in their order: in the domain of the device, and (0) in any, where that one says nothing.
own_course AS (
    SELECT touched.trace, touched.page, touched.domain AS scope, touched.id, touched.kind
    FROM touched
    WHERE (touched.trace, touched.page, touched.domain) IN (SELECT trace, page, domain FROM hit WHERE domain IS NOT NULL)
    UNION ALL
    SELECT trace, page, domain, id, 10 FROM hit WHERE domain IS NOT NULL
),
own AS MATERIALIZED (
    SELECT id, unmap, map
    FROM (
        SELECT
            id, kind,
            max(CASE WHEN kind IN (2, 3) THEN id END) OVER course AS unmap,
            max(CASE WHEN kind = 1 THEN id END) OVER course AS map
        FROM own_course
        WINDOW course AS (PARTITION BY trace, page, scope ORDER BY id)
    )
    WHERE kind = 10 AND coalesce(unmap, map) IS NOT NULL
),
any_course AS (
    SELECT trace, page, id, 10 AS kind FROM hit WHERE id NOT IN (SELECT id FROM own)
    UNION ALL
    SELECT trace, page, id, kind
    FROM touched
    WHERE (trace, page) IN (SELECT trace, page FROM hit WHERE id NOT IN (SELECT id FROM own))
),
somewhere AS MATERIALIZED (
    SELECT id, unmap, map
    FROM (
        SELECT
            id, kind,
            max(CASE WHEN kind IN (2, 3) THEN id END) OVER course AS unmap,
            max(CASE WHEN kind = 1 THEN id END) OVER course AS map
        FROM any_course
        WINDOW course AS (PARTITION BY trace, page ORDER BY id)
    )
    WHERE kind = 10
),
told AS MATERIALIZED (
    SELECT
        hit.id, hit.domain, hit.recorded, hit.page, hit.time_ns, hit.line,
        own.id IS NOT NULL AS in_own,
        CASE WHEN own.id IS NOT NULL THEN own.unmap ELSE somewhere.unmap END AS unmap,
        CASE WHEN own.id IS NOT NULL THEN own.map ELSE somewhere.map END AS map
    FROM hit
    LEFT JOIN own ON own.id = hit.id
    LEFT JOIN somewhere ON somewhere.id = hit.id
),
-- What a log can tell: times at all, maps and unmaps at all, and how fast the kernel's timer ticks. A timer of 10 ms fires at the
-- latest one tick after those that make up 10 ms.
known AS MATERIALIZED (
    SELECT
        trace, has_times, has_calls, coalesce(hz, 250) AS hz, hz IS NOT NULL AS is_recorded,
        ((coalesce(hz, 250) + 99) / 100 + 1) * 1000000000 / coalesce(hz, 250) AS latest_ns
    FROM (
        SELECT
            trace.id AS trace, trace.last_ns > trace.first_ns AS has_times,
            EXISTS (
                SELECT 1
                FROM kind_count
                WHERE kind_count.trace = trace.id AND kind_count.stage = 'operation' AND kind_count.kind IN (1, 2, 3)
            ) AS has_calls,
            (
                SELECT metadata.number
                FROM metadata
                WHERE metadata.trace = trace.id AND metadata.key = 'hz' AND metadata.number BETWEEN 1 AND 10000
                ORDER BY metadata.id
                LIMIT 1
            ) AS hz
        FROM trace
        WHERE trace.id IN (SELECT trace FROM hit)
    )
),
-- When those unmaps were flushed under the policies of the replays of the whole log: one of a part knows no flush that comes after it.
stale AS MATERIALIZED (
    SELECT
        told.id,
        max(coalesce(stale_window.closed_ns, 9223372036854775807)) FILTER (WHERE replay_domain.policy = 'recorded') AS recorded_ns,
        max(coalesce(stale_window.closed_ns, 9223372036854775807)) FILTER (WHERE replay_domain.policy = 'queue=256,10ms') AS queue_ns,
        max(coalesce(stale_window.closed_ns, 9223372036854775807)) FILTER (WHERE replay_domain.policy = 'vfio') AS vfio_ns
    FROM (
        -- There may be many windows; few of them are of these unmaps.
        SELECT operation, replay, domain, iova, size, closed_ns
        FROM stale_window
        WHERE EXISTS (SELECT 1 FROM fault) AND operation IN (SELECT unmap FROM told)
    ) AS stale_window
    CROSS JOIN told ON told.unmap = stale_window.operation
    JOIN replay ON replay.id = stale_window.replay AND instr(replay.options, 'from=') = 0
    JOIN replay_domain ON replay_domain.replay = stale_window.replay AND replay_domain.domain = stale_window.domain
    WHERE replay_domain.policy IN ('recorded', 'queue=256,10ms', 'vfio')
        AND told.page BETWEEN stale_window.iova >> 12 AND (stale_window.iova + stale_window.size - 1) >> 12
    GROUP BY told.id
),
judged AS MATERIALIZED (
    SELECT
        told.id, told.domain, told.recorded, told.in_own, unmap.id AS unmap, map.id AS map,
        CASE WHEN known.has_times THEN told.time_ns - unmap.time_ns END AS age_ns,
        CASE WHEN known.has_times THEN told.time_ns - map.time_ns END AS mapped_ns_ago,
        known.hz, known.is_recorded AS hz_is_recorded, known.latest_ns, owner.kind = 'unmanaged' AS is_unmanaged,
        owner.kind_evidence,
        CASE
            WHEN NOT known.has_calls THEN 'not known'
            WHEN unmap.id IS NULL AND map.id IS NULL THEN 'never mapped'
            WHEN unmap.id IS NULL THEN 'still mapped'
            WHEN map.id IS NULL OR map.id < unmap.id OR NOT told.in_own AND map.domain IS NOT unmap.domain
                THEN 'use after unmap'
            ELSE 'mapped again since'
        END AS finding,
        -- Its window under the schedule that the kernel has for such a domain.
        CASE WHEN owner.kind = 'unmanaged' THEN 'vfio' ELSE 'queue=256,10ms' END AS schedule,
        CASE WHEN owner.kind = 'unmanaged' THEN stale.vfio_ns ELSE stale.queue_ns END - told.time_ns AS queued_left_ns,
        CASE WHEN owner.kind = 'unmanaged' THEN stale.vfio_ns ELSE stale.queue_ns END AS queued_until_ns,
        -- Where the log shows flushes of the API theirs, whatever was replayed.
        CASE
            WHEN NOT known.has_times THEN NULL
            WHEN trace.flush_layer = 'api' THEN (
                SELECT flush.time_ns
                FROM operation AS flush
                WHERE flush.id = (
                    SELECT flush FROM which_flush_covered WHERE which_flush_covered.operation = told.unmap AND page = told.page
                )
            ) - unmap.time_ns
            WHEN stale.recorded_ns < 9223372036854775807 THEN stale.recorded_ns - unmap.time_ns
        END AS flushed_ns,
        EXISTS (
            SELECT 1
            FROM lost_events
            WHERE lost_events.trace = coalesce(unmap.trace, map.trace, hit.trace)
                AND lost_events.line > max(coalesce(unmap.line, 0), coalesce(map.line, 0)) AND lost_events.line <= told.line
        ) OR unmap.id IS NULL AND map.id IS NULL
        AND (coalesce(trace.buffer_written > trace.buffer_entries, 0) OR NOT known.has_calls) AS uncertain
    FROM told
    JOIN hit ON hit.id = told.id
    JOIN trace ON trace.id = hit.trace
    JOIN known ON known.trace = hit.trace
    LEFT JOIN operation AS unmap ON unmap.id = told.unmap
    LEFT JOIN operation AS map ON map.id = told.map
    LEFT JOIN domain AS owner ON owner.id = unmap.domain
    LEFT JOIN stale ON stale.id = told.id
),
answered AS MATERIALIZED (
    SELECT
        judged.*,
        CASE
            WHEN finding <> 'use after unmap' THEN NULL
            WHEN queued_left_ns > 0 THEN 'could have been'
            WHEN queued_left_ns IS NOT NULL OR is_unmanaged THEN 'no'
            WHEN age_ns IS NULL THEN 'not known'
            WHEN age_ns < latest_ns THEN 'could have been'
            ELSE 'no'
        END AS hidden,
        CASE
            WHEN finding <> 'use after unmap' THEN NULL
            WHEN queued_left_ns IS NOT NULL THEN 'replay'
            WHEN is_unmanaged THEN 'unmanaged'
            WHEN age_ns IS NULL THEN 'no times'
            ELSE 'age'
        END AS hidden_because
    FROM judged
),
-- What is said of them, each once: SQLite takes a CTE apart anew wherever it is named.
wanted AS (
    SELECT DISTINCT CASE number.column1 WHEN 0 THEN id WHEN 1 THEN unmap ELSE map END AS id
    FROM told
    CROSS JOIN (VALUES (0), (1), (2)) AS number
),
shown AS MATERIALIZED (
    SELECT what_happened.* FROM wanted CROSS JOIN what_happened ON what_happened.id = wanted.id
),
row AS MATERIALIZED (
    SELECT
        judged.id,
        hit.trace AS trace_id,
        nullif(max(trace.last_ns - trace.first_ns, 0), 0) AS span_ns,
        CASE
            WHEN :by = 'fault' THEN judged.id
            WHEN :by = 'domain' THEN coalesce(unmapped.domain, mapped.domain, domain.name, 'unknown')
            WHEN :by = 'device' THEN coalesce(what.device, 'unknown')
            WHEN :by = 'task' THEN coalesce(unmapped.task, mapped.task, 'unknown')
        END AS member,
        what.trace,
        hit.faults,
        what.time_ns,
        what.device,
        CASE hit.detail & 1 WHEN 0 THEN 'read' WHEN 1 THEN 'write' END AS access,
        what.iova,
        judged.finding,
        judged.age_ns AS unmapped_ns_ago,
        judged.mapped_ns_ago,
        judged.flushed_ns AS flushed_ns,
        CASE
            WHEN judged.unmap IS NULL THEN NULL
            WHEN judged.age_ns IS NULL THEN 'no times'
            WHEN judged.flushed_ns <= judged.age_ns THEN 'before the fault'
            WHEN judged.flushed_ns IS NOT NULL THEN 'after the fault'
            WHEN trace.flush_layer = 'none' THEN 'none logged'
            WHEN trace.flush_layer = 'hardware' THEN 'not known'
            ELSE 'not seen'
        END AS flushed,
        judged.hidden,
        CASE WHEN judged.hidden IS NOT NULL THEN judged.schedule END AS schedule,
        judged.hidden_because,
        CASE WHEN judged.hidden_because = 'replay' AND judged.queued_until_ns < 9223372036854775807
            THEN judged.queued_until_ns - unmap.time_ns END AS replay_flushed_ns,
        CASE WHEN judged.hidden_because = 'age' THEN judged.latest_ns END AS queue_longest_ns,
        CASE WHEN judged.hidden_because = 'age' THEN judged.hz END AS hz,
        CASE WHEN judged.hidden_because = 'age' THEN CASE WHEN judged.hz_is_recorded THEN 'recorded' ELSE 'assumed' END END AS hz_evidence,
        CASE
            WHEN judged.hidden IS NULL THEN NULL
            WHEN judged.queued_left_ns IS NOT NULL THEN 'modelled'
            WHEN judged.is_unmanaged AND judged.kind_evidence <> 'assumed' THEN 'inferred'
            ELSE 'assumed'
        END AS hidden_evidence,
        coalesce(unmapped.domain, mapped.domain, domain.name) AS domain,
        CASE
            WHEN NOT judged.in_own AND judged.unmap IS NULL AND judged.map IS NULL THEN NULL
            WHEN NOT judged.in_own THEN 'any'
            WHEN judged.recorded IS NOT NULL THEN 'recorded'
            ELSE 'only known'
        END AS domain_is,
        what.task AS fault_task,
        unmapped.task AS unmap_task,
        mapped.task AS map_task,
        unmapped.iova AS unmap_iova,
        unmapped.size AS unmap_size,
        mapped.size AS map_size,
        what.place AS fault_place,
        unmapped.place AS unmap_place,
        mapped.place AS map_place,
        judged.uncertain,
        CASE
            WHEN judged.uncertain OR NOT judged.in_own AND coalesce(judged.unmap, judged.map) IS NOT NULL THEN 'assumed'
            WHEN judged.recorded IS NULL THEN 'inferred'
            ELSE 'recorded'
        END AS evidence
    FROM answered AS judged
    JOIN hit ON hit.id = judged.id
    JOIN trace ON trace.id = hit.trace
    JOIN shown AS what ON what.id = judged.id
    LEFT JOIN shown AS unmapped ON unmapped.id = judged.unmap
    LEFT JOIN shown AS mapped ON mapped.id = judged.map
    LEFT JOIN operation AS unmap ON unmap.id = judged.unmap
    LEFT JOIN domain ON domain.id = judged.domain
),
-- Of a group the first fault, with what all of it amounts to and the weakest evidence of all; one by one each fault is a group.
grouped AS (
    SELECT
        trace,
        CASE WHEN :by = 'fault' THEN faults ELSE count(*) OVER own END AS faults,
        CASE :by WHEN 'fault' THEN time_ns END AS time_ns,
        CASE :by WHEN 'fault' THEN device WHEN 'device' THEN member END AS device,
        CASE :by WHEN 'fault' THEN access END AS access,
        CASE :by WHEN 'fault' THEN iova END AS iova,
        CASE :by WHEN 'fault' THEN finding END AS finding,
        CASE :by WHEN 'fault' THEN unmapped_ns_ago END AS unmapped_ns_ago,
        CASE :by WHEN 'fault' THEN mapped_ns_ago END AS mapped_ns_ago,
        CASE :by WHEN 'fault' THEN flushed_ns END AS flushed_ns,
        CASE :by WHEN 'fault' THEN flushed END AS flushed,
        CASE :by WHEN 'fault' THEN hidden END AS hidden,
        CASE :by WHEN 'fault' THEN schedule END AS schedule,
        CASE :by WHEN 'fault' THEN hidden_because END AS hidden_because,
        CASE :by WHEN 'fault' THEN replay_flushed_ns END AS replay_flushed_ns,
        CASE :by WHEN 'fault' THEN queue_longest_ns END AS queue_longest_ns,
        CASE :by WHEN 'fault' THEN hz END AS hz,
        CASE :by WHEN 'fault' THEN hz_evidence END AS hz_evidence,
        CASE max(CASE hidden_evidence WHEN 'inferred' THEN 1 WHEN 'modelled' THEN 2 WHEN 'assumed' THEN 3 END) OVER own
            WHEN 1 THEN 'inferred' WHEN 2 THEN 'modelled' WHEN 3 THEN 'assumed' END AS hidden_evidence,
        CASE :by WHEN 'fault' THEN domain WHEN 'domain' THEN member END AS domain,
        CASE :by WHEN 'fault' THEN domain_is END AS domain_is,
        CASE :by WHEN 'task' THEN member END AS task,
        CASE :by WHEN 'fault' THEN fault_task END AS fault_task,
        CASE :by WHEN 'fault' THEN unmap_task END AS unmap_task,
        CASE :by WHEN 'fault' THEN map_task END AS map_task,
        CASE :by WHEN 'fault' THEN unmap_iova END AS unmap_iova,
        CASE :by WHEN 'fault' THEN unmap_size END AS unmap_size,
        CASE :by WHEN 'fault' THEN map_size END AS map_size,
        CASE WHEN :by <> 'fault' THEN count(*) FILTER (WHERE finding = 'use after unmap') OVER own END AS used_after_unmap,
        CASE WHEN :by <> 'fault' THEN count(*) FILTER (WHERE hidden = 'could have been') OVER own END AS could_have_been_hidden,
        CASE WHEN :by <> 'fault' THEN count(*) FILTER (WHERE finding = 'mapped again since') OVER own END AS mapped_again,
        CASE WHEN :by <> 'fault' THEN count(*) FILTER (WHERE finding = 'still mapped') OVER own END AS still_mapped,
        CASE WHEN :by <> 'fault' THEN count(*) FILTER (WHERE finding = 'never mapped') OVER own END AS never_mapped,
        CASE WHEN :by <> 'fault' THEN count(*) FILTER (WHERE finding = 'not known') OVER own END AS not_known,
        CASE WHEN :by <> 'fault' THEN min(unmapped_ns_ago) FILTER (WHERE finding = 'use after unmap') OVER own END AS shortest_ns,
        CASE WHEN :by <> 'fault' THEN round(count(*) OVER own * 1e9 / span_ns, 3) END AS per_second,
        fault_place,
        CASE :by WHEN 'fault' THEN unmap_place END AS unmap_place,
        CASE :by WHEN 'fault' THEN map_place END AS map_place,
        sum(uncertain) OVER own AS uncertain,
        CASE max(CASE evidence WHEN 'recorded' THEN 0 WHEN 'inferred' THEN 1 ELSE 2 END) OVER own
            WHEN 0 THEN 'recorded' WHEN 1 THEN 'inferred' ELSE 'assumed' END AS evidence,
        id,
        row_number() OVER (PARTITION BY trace_id, member ORDER BY id) AS place
    FROM row
    WINDOW own AS (PARTITION BY trace_id, member)
)
SELECT
    trace, faults, time_ns, device, access, iova, finding, unmapped_ns_ago, mapped_ns_ago, flushed_ns, flushed, hidden, schedule,
    hidden_because, hidden_evidence, replay_flushed_ns, queue_longest_ns, hz, hz_evidence, domain, domain_is, task, fault_task, unmap_task, map_task, unmap_iova, unmap_size,
    map_size, used_after_unmap, could_have_been_hidden, mapped_again, still_mapped, never_mapped, not_known, shortest_ns,
    per_second, fault_place, unmap_place, map_place, uncertain, evidence
FROM grouped
WHERE place = 1
ORDER BY id;
