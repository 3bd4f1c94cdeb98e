-- What did each fault hit: which unmap and which map of its address came last, and could a flush queue have hidden it?
-- by: fault
-- nothing found: no fault: the log records none, neither as an event nor in the kernel log
-- tables leave out: faults, fault_task, unmap_iova, unmap_size, map_size, flushed_ns, meaning, hidden_because, unmapped_ns_ago, mapped_ns_ago, unmap_task, map_task
-- note: hidden: with a flush queue of 256 entries and 10 ms (queue=256,10ms) the access might have gone through unnoticed.
-- Parameters: :trace a trace's name, NULL for all.
-- The first 1000 faults of a trace. The last unmap and map are looked for in the domain of the device where that is known and had
-- the address, otherwise in any domain of the trace (design §4 28). One pass over the operations before the last of those faults.
WITH
attached AS MATERIALIZED (
    SELECT device, CASE WHEN count(*) = 1 THEN min(domain) END AS domain FROM attachment GROUP BY device
),
named AS MATERIALIZED (
    SELECT device.id AS device, min(domain.id) AS domain
    FROM device JOIN domain ON domain.name = device.name AND domain.trace = device.trace
    GROUP BY device.id
),
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
    SELECT counted.*, coalesce(counted.recorded, attached.domain, named.domain) AS domain
    FROM counted
    LEFT JOIN attached ON attached.device = counted.device
    LEFT JOIN named ON named.device = counted.device
    WHERE counted.number <= 1000
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
    CROSS JOIN operation ON operation.id BETWEEN trace.first_operation AND last.id - 1
    CROSS JOIN block ON block.block = CASE
        WHEN operation.size <= 4096 THEN operation.iova >> 9 & -8
        WHEN operation.size <= 8192 THEN operation.iova >> 10 & -8 | 1
        WHEN operation.size <= 32768 THEN operation.iova >> 12 & -8 | 2
        WHEN operation.size <= 131072 THEN operation.iova >> 14 & -8 | 3
        WHEN operation.size <= 2097152 THEN operation.iova >> 18 & -8 | 4
        WHEN operation.size <= 1073741824 THEN operation.iova >> 27 & -8 | 5
        ELSE 6 END
    -- A size-0 unmap, an unmap of nothing and a map that failed change nothing.
    WHERE operation.kind < 4 AND +block.trace = operation.trace AND operation.flags & 32 = 0
        AND block.page - (operation.iova >> 12) BETWEEN 0
        AND ((operation.iova & 4095) + min(operation.size, coalesce(operation.result, operation.size)) - 1) >> 12
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
-- When those unmaps were flushed under the policies of the replays.
stale AS MATERIALIZED (
    SELECT told.id, replay_domain.policy, max(coalesce(stale_window.closed_ns, 9223372036854775807)) AS closed_ns
    FROM stale_window
    CROSS JOIN told ON told.unmap = stale_window.operation
    JOIN replay_domain ON replay_domain.replay = stale_window.replay AND replay_domain.domain = stale_window.domain
    WHERE EXISTS (SELECT 1 FROM told) AND replay_domain.policy IN ('recorded', 'queue=256,10ms')
        AND told.page BETWEEN stale_window.iova >> 12 AND (stale_window.iova + stale_window.size - 1) >> 12
    GROUP BY told.id, replay_domain.policy
),
judged AS MATERIALIZED (
    SELECT
        told.id, told.domain, told.recorded, told.in_own, unmap.id AS unmap, map.id AS map, told.time_ns - unmap.time_ns AS age_ns,
        CASE
            WHEN unmap.id IS NULL AND map.id IS NULL THEN 'never mapped'
            WHEN map.id IS NULL OR map.id < unmap.id OR NOT told.in_own AND map.domain IS NOT unmap.domain
                THEN 'use after unmap'
            WHEN unmap.id IS NULL THEN 'still mapped'
            ELSE 'mapped again since'
        END AS finding,
        queued.closed_ns - told.time_ns AS queued_left_ns,
        coalesce(
            CASE WHEN recorded.closed_ns < 9223372036854775807 THEN recorded.closed_ns - unmap.time_ns END,
            (
                -- A sync or flush_all of the log that covers it, at most 20,000 operations later.
                SELECT flush.time_ns - unmap.time_ns
                FROM operation AS flush
                WHERE flush.id BETWEEN unmap.id - 16 AND unmap.id + 20000 AND flush.trace = unmap.trace
                    AND flush.kind IN (4, 5) AND flush.domain = unmap.domain
                    AND EXISTS (
                        SELECT 1
                        FROM kind_count
                        WHERE kind_count.trace = unmap.trace AND kind_count.stage = 'operation' AND kind_count.kind IN (4, 5)
                    )
                    AND (
                        flush.id > unmap.id
                        OR flush.cpu = unmap.cpu AND flush.task = unmap.task
                        AND flush.time_ns >= unmap.time_ns - unmap.since_entry_ns
                    )
                    AND (
                        flush.kind = 5 OR flush.size IS NULL
                        OR told.page BETWEEN flush.iova >> 12 AND (flush.iova + flush.size - 1) >> 12
                    )
                ORDER BY flush.id
                LIMIT 1
            )
        ) AS flushed_ns,
        EXISTS (
            SELECT 1
            FROM lost_events
            WHERE lost_events.trace = coalesce(unmap.trace, map.trace, hit.trace)
                AND lost_events.line > max(coalesce(unmap.line, 0), coalesce(map.line, 0)) AND lost_events.line <= told.line
        ) OR unmap.id IS NULL AND map.id IS NULL AND coalesce(trace.buffer_written > trace.buffer_entries, 0) AS uncertain
    FROM told
    JOIN hit ON hit.id = told.id
    JOIN trace ON trace.id = hit.trace
    LEFT JOIN operation AS unmap ON unmap.id = told.unmap
    LEFT JOIN operation AS map ON map.id = told.map
    LEFT JOIN stale AS queued ON queued.id = told.id AND queued.policy = 'queue=256,10ms'
    LEFT JOIN stale AS recorded ON recorded.id = told.id AND recorded.policy = 'recorded'
),
wanted AS (
    SELECT id FROM judged
    UNION
    SELECT unmap FROM judged WHERE unmap IS NOT NULL
    UNION
    SELECT map FROM judged WHERE map IS NOT NULL
),
shown AS MATERIALIZED (
    SELECT what_happened.* FROM wanted CROSS JOIN what_happened ON what_happened.id = wanted.id
)
SELECT
    what.trace,
    hit.faults,
    what.time_ns,
    what.device,
    CASE hit.detail & 1 WHEN 0 THEN 'read' WHEN 1 THEN 'write' END AS access,
    what.iova,
    judged.finding,
    judged.age_ns AS unmapped_ns_ago,
    hit.time_ns - map.time_ns AS mapped_ns_ago,
    judged.flushed_ns AS flushed_ns,
    CASE
        WHEN judged.unmap IS NULL THEN NULL
        WHEN judged.flushed_ns <= judged.age_ns THEN 'before the fault'
        WHEN judged.flushed_ns IS NOT NULL THEN 'after the fault'
        WHEN trace.flush_layer = 'none' THEN 'the log shows no flush'
        WHEN trace.flush_layer = 'hardware' THEN 'not known: replay --policy recorded'
        ELSE 'not seen'
    END AS flushed,
    CASE
        WHEN judged.finding <> 'use after unmap' THEN NULL
        WHEN judged.queued_left_ns > 0 OR judged.queued_left_ns IS NULL AND judged.age_ns < 16000000 THEN 'could have been'
        ELSE 'no'
    END AS hidden,
    CASE
        WHEN judged.finding <> 'use after unmap' THEN NULL
        WHEN judged.queued_left_ns > 0 THEN 'the replay of queue=256,10ms flushes it after the fault'
        WHEN judged.queued_left_ns IS NOT NULL THEN 'the replay of queue=256,10ms flushes it before the fault'
        WHEN judged.age_ns < 10000000 THEN 'a queue of 10 ms that did not fill up had not flushed by then'
        WHEN judged.age_ns < 16000000 THEN 'a timer of 10 ms fires up to 16 ms after it was armed (HZ 250)'
        ELSE 'a timer of 10 ms fires within 16 ms (HZ 250)'
    END AS hidden_because,
    CASE
        WHEN judged.finding <> 'use after unmap' THEN NULL
        WHEN judged.queued_left_ns IS NOT NULL THEN 'modelled'
        ELSE 'assumed'
    END AS hidden_evidence,
    coalesce(unmapped.domain, mapped.domain, domain.name) AS domain,
    CASE
        WHEN NOT judged.in_own AND judged.unmap IS NULL AND judged.map IS NULL THEN NULL
        WHEN NOT judged.in_own THEN 'some domain that had the address'
        WHEN judged.recorded IS NOT NULL THEN 'the domain of the device'
        ELSE 'the one domain known of the device'
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
    END AS evidence,
    CASE judged.finding
        WHEN 'never mapped' THEN 'the log shows no map and no unmap of this address before the fault'
        WHEN 'use after unmap' THEN 'the device still used what the driver had unmapped'
        WHEN 'still mapped' THEN 'nothing unmapped it: the permissions forbid the access, or the IOMMU looks at another table'
        ELSE 'it was unmapped and is mapped again: the permissions forbid the access, or the IOMMU looks at another table'
    END AS meaning,
    coalesce(what.device, 'a device') || CASE hit.detail & 1 WHEN 0 THEN ' reads ' WHEN 1 THEN ' writes ' ELSE ' accesses ' END
        || what.iova || ', ' || judged.finding
        || CASE WHEN judged.unmap IS NULL THEN '' ELSE printf(', %.3f ms after %s unmapped it', judged.age_ns / 1e6, unmapped.task) END
        || CASE WHEN judged.map IS NULL THEN '' ELSE printf(', %.3f ms after %s mapped it', (hit.time_ns - map.time_ns) / 1e6, mapped.task) END
        || CASE
            WHEN judged.finding <> 'use after unmap' THEN ''
            WHEN judged.queued_left_ns > 0 OR judged.queued_left_ns IS NULL AND judged.age_ns < 16000000
                THEN '; a flush queue of 10 ms could have hidden it'
            ELSE '; a flush queue of 10 ms would not have hidden it'
        END AS in_words
FROM judged
JOIN hit ON hit.id = judged.id
JOIN trace ON trace.id = hit.trace
JOIN shown AS what ON what.id = judged.id
LEFT JOIN shown AS unmapped ON unmapped.id = judged.unmap
LEFT JOIN shown AS mapped ON mapped.id = judged.map
LEFT JOIN operation AS map ON map.id = judged.map
LEFT JOIN domain ON domain.id = judged.domain
ORDER BY judged.id;
