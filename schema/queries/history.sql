-- What happened to an address, or a range of them, in order: mapped, unmapped, flushed, used again, faulted?
-- Parameters: :first and :last the first and the last byte, by bit pattern; whole pages of 4096 bytes are looked at. :trace a trace's
-- name, :domain a domain's, :policy one as asked for or canonical, each NULL for all; :rows how many of the latest maps, unmaps,
-- faults and accesses to tell.
-- Flushes of the log are told where it shows those of the API; those of policies where a replay kept the window (--windows).
WITH
asked AS MATERIALIZED (
    SELECT
        :first >> 12 & 4503599627370495 AS first, :last >> 12 & 4503599627370495 AS last,
        (:first >> 12) = (:last >> 12) AS is_page
),
-- All about the range, in one pass. First what is cheap and turns most operations down: does it begin behind the range, or end before?
-- Addresses from 2^63 on are stored as negative numbers. An end beyond 2^63 is a REAL, a range across 2^63 asks for no such end, and
-- for a range above it the last quarter below it is looked at too, of which an operation may reach up there.
met AS MATERIALIZED (
    SELECT
        operation.id, operation.trace, operation.domain, operation.kind,
        -- What lies in one page concerns the same address, wherever it begins.
        CASE WHEN asked.is_page THEN 0 ELSE operation.iova END AS place
    FROM trace
    CROSS JOIN operation ON operation.id BETWEEN trace.first_operation AND trace.first_operation + trace.operations - 1
    CROSS JOIN asked
    WHERE (:trace IS NULL OR trace.name = :trace)
        AND (
            operation.result > operation.size
            OR (operation.iova + operation.size < CASE WHEN (:first < 0) = (:last < 0) THEN :first & -4096 END) IS NOT TRUE
        )
        AND (
            operation.iova <= :last | 4095
            OR operation.iova >= CASE WHEN :last >= 0 THEN 9223372036854775807 WHEN :first >= 0 THEN 0 ELSE 4611686018427387904 END
        )
        AND operation.kind IN (1, 2, 3, 10, 14)
        AND (operation.iova >> 12 & 4503599627370495) <= asked.last
        AND (operation.iova >> 12 & 4503599627370495) + (
            (operation.iova & 4095) + max(coalesce(operation.size, 1), CASE WHEN operation.kind IN (2, 3) THEN coalesce(operation.result, 1) ELSE 1 END, 1) - 1 >> 12
        ) >= asked.first
),
kept AS MATERIALIZED (
    SELECT
        met.*, count(*) OVER () AS found, row_number() OVER (ORDER BY met.id DESC) AS back,
        lag(met.id) OVER (PARTITION BY met.trace, met.domain ORDER BY met.id) AS former
    FROM met
    LEFT JOIN domain ON domain.id = met.domain
    WHERE :domain IS NULL OR domain.name = :domain OR met.domain IS NULL
),
own AS MATERIALIZED (SELECT * FROM kept WHERE back <= :rows),
-- The flush of the log that comes next in the domain, or lies inside the call. Between an unmap and the next one of the range is
-- looked up to the first flush: each operation at most once for each domain that had the range.
removed AS (
    SELECT
        own.id, own.trace, own.domain, own.former, operation.cpu, operation.task,
        operation.time_ns - operation.since_entry_ns AS entry_ns,
        lead(own.id, 1, trace.first_operation + trace.operations) OVER (PARTITION BY own.trace, own.domain ORDER BY own.id) AS next
    FROM own
    CROSS JOIN operation ON operation.id = own.id
    JOIN trace ON trace.id = own.trace
    WHERE own.kind IN (2, 3) AND coalesce(operation.result, operation.size) > 0 AND own.domain IS NOT NULL
        AND EXISTS (
            SELECT 1
            FROM kind_count
            WHERE kind_count.trace = own.trace AND kind_count.stage = 'operation' AND kind_count.kind IN (4, 5)
        )
),
around AS MATERIALIZED (
    SELECT
        removed.*,
        CASE WHEN removed.entry_ns IS NOT NULL THEN (
            SELECT flush.id
            FROM operation AS flush
            CROSS JOIN asked
            WHERE flush.id > coalesce(removed.former, trace.first_operation - 1) AND flush.id < removed.id
                AND flush.kind IN (4, 5) AND +flush.domain = removed.domain
                AND (
                    flush.kind = 5 OR flush.size IS NULL
                    OR (flush.iova >> 12 & 4503599627370495) <= asked.last
                    AND (flush.iova >> 12 & 4503599627370495) + ((flush.iova & 4095) + max(flush.size, 1) - 1 >> 12) >= asked.first
                )
            ORDER BY flush.id DESC
            LIMIT 1
        ) END AS before,
        (
            SELECT flush.id
            FROM operation AS flush
            CROSS JOIN asked
            WHERE flush.id > removed.id AND flush.id < removed.next AND flush.kind IN (4, 5) AND +flush.domain = removed.domain
                AND (
                    flush.kind = 5 OR flush.size IS NULL
                    OR (flush.iova >> 12 & 4503599627370495) <= asked.last
                    AND (flush.iova >> 12 & 4503599627370495) + ((flush.iova & 4095) + max(flush.size, 1) - 1 >> 12) >= asked.first
                )
            ORDER BY flush.id
            LIMIT 1
        ) AS after
    FROM removed
    JOIN trace ON trace.id = removed.trace
),
flushed AS MATERIALIZED (
    SELECT
        around.id,
        CASE
            WHEN before.kind = 4 AND before.cpu = around.cpu AND before.task = around.task AND before.time_ns >= around.entry_ns
                THEN before.id
            ELSE min(around.after) OVER (PARTITION BY around.trace, around.domain ORDER BY around.id DESC)
        END AS flush
    FROM around
    LEFT JOIN operation AS before ON before.id = around.before
),
-- What each policy makes of an unmap.
replayed AS (
    SELECT
        own.id, replay.id AS replay, replay.requested, replay_domain.policy, replay_domain.evidence, replay.windows_left_out
    FROM own
    CROSS JOIN operation ON operation.id = own.id
    CROSS JOIN replay ON replay.trace = own.trace AND operation.time_ns BETWEEN replay.first_ns AND replay.last_ns
    CROSS JOIN replay_domain ON replay_domain.replay = replay.id AND replay_domain.domain = own.domain
    WHERE own.kind IN (2, 3) AND coalesce(operation.result, operation.size) > 0
        AND (:policy IS NULL OR replay.requested = :policy OR replay_domain.policy = :policy)
),
window AS MATERIALIZED (
    SELECT stale_window.operation, stale_window.replay, max(coalesce(stale_window.closed_ns, 9223372036854775807)) AS closed_ns,
        window_end.name AS ended, window_end.name IN ('detach', 'domain free') AS is_no_flush, stale_window.closed_line,
        stale_window.uncertain
    FROM stale_window
    CROSS JOIN own ON own.id = stale_window.operation
    CROSS JOIN asked
    JOIN window_end ON window_end.id = stale_window.window_end
    WHERE (stale_window.iova >> 12 & 4503599627370495) <= asked.last
        AND (stale_window.iova >> 12 & 4503599627370495) + ((stale_window.iova & 4095) + stale_window.size - 1 >> 12) >= asked.first
    GROUP BY stale_window.operation, stale_window.replay
),
-- Maps and unmaps with what was mapped there before.
course AS MATERIALIZED (
    SELECT
        own.id, own.trace, own.domain, own.kind,
        lag(own.kind) OVER course AS former_kind,
        max(CASE WHEN own.kind IN (2, 3) THEN own.id END) OVER earlier AS unmap,
        max(CASE WHEN own.kind = 1 THEN own.id END) OVER earlier AS map
    FROM own
    JOIN operation ON operation.id = own.id
    WHERE own.kind IN (1, 2, 3) AND operation.flags & 32 = 0 AND coalesce(operation.result, operation.size) > 0
    WINDOW
        course AS (PARTITION BY own.trace, own.domain, own.place ORDER BY own.id),
        earlier AS (PARTITION BY own.trace, own.domain, own.place ORDER BY own.id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
),
-- What changed last before a fault or an access, in whatever domain.
latest AS MATERIALIZED (
    SELECT latest.id, operation.time_ns, operation.kind
    FROM (
        SELECT id, kind, max(CASE WHEN kind IN (1, 2, 3) THEN id END) OVER (PARTITION BY trace ORDER BY id) AS change FROM own
    ) AS latest
    CROSS JOIN operation ON operation.id = latest.change
    WHERE latest.kind IN (10, 14)
),
-- The physical pages that the range led to, at most 4096 of them, and who else maps them.
number(number) AS (SELECT 0 UNION ALL SELECT number + 1 FROM number WHERE number < 511),
held AS MATERIALIZED (
    SELECT DISTINCT
        operation.trace,
        (operation.paddr >> 12) + max(asked.first - (operation.iova >> 12 & 4503599627370495), 0) + number.number AS page
    FROM course
    CROSS JOIN operation ON operation.id = course.id
    CROSS JOIN asked
    CROSS JOIN number ON number.number <= min(
        asked.last, (operation.iova >> 12 & 4503599627370495) + ((operation.iova & 4095) + operation.size - 1 >> 12)
    ) - max(asked.first, operation.iova >> 12 & 4503599627370495)
    WHERE course.kind = 1 AND operation.paddr IS NOT NULL
    LIMIT 4096
),
level(level, shift, back) AS (
    VALUES (0, 0, 0), (1, 1, 0), (1, 1, 1), (2, 3, 0), (2, 3, 1), (3, 5, 0), (3, 5, 1), (4, 9, 0), (4, 9, 1), (5, 18, 0),
        (5, 18, 1)
),
-- The pages by the blocks that hold them, as in report faults.
block AS MATERIALIZED (
    SELECT ((held.page >> level.shift) - level.back) * 8 + level.level AS block, held.trace, held.page
    FROM held
    CROSS JOIN level
    UNION ALL
    SELECT 6, trace, page FROM held
),
-- Only what follows the first map of the range.
mapped AS MATERIALIZED (
    SELECT operation.id, block.trace, block.page
    FROM (SELECT trace, min(id) AS id FROM own WHERE kind = 1 GROUP BY trace) AS first
    CROSS JOIN trace ON trace.id = first.trace
    CROSS JOIN operation ON operation.id BETWEEN first.id AND trace.first_operation + trace.operations - 1
    CROSS JOIN block ON block.block = CASE
        WHEN operation.size <= 4096 THEN operation.paddr >> 9 & -8
        WHEN operation.size <= 8192 THEN operation.paddr >> 10 & -8 | 1
        WHEN operation.size <= 32768 THEN operation.paddr >> 12 & -8 | 2
        WHEN operation.size <= 131072 THEN operation.paddr >> 14 & -8 | 3
        WHEN operation.size <= 2097152 THEN operation.paddr >> 18 & -8 | 4
        WHEN operation.size <= 1073741824 THEN operation.paddr >> 27 & -8 | 5
        ELSE 6 END
    WHERE operation.kind = 1 AND +block.trace = operation.trace AND operation.flags & 32 = 0
        AND block.page - (operation.paddr >> 12) BETWEEN 0 AND ((operation.paddr & 4095) + operation.size - 1) >> 12
),
-- Each page in its order: mapped here, unmapped here, mapped by another call. Only what follows a turn of ours is told.
elsewhere AS MATERIALIZED (
    SELECT id, min(former >> 2) AS before, max(former & 1) AS unmapped
    FROM (
        -- Who comes before, whether that is ours and whether it is an unmap, in one number: each lag() costs a walk of its own.
        SELECT id, is_own, lag(id * 4 + is_own * 2 + unmapped) OVER page AS former
        FROM (
            SELECT mapped.id, mapped.trace, mapped.page, mapped.id IN (SELECT id FROM own) AS is_own, 0 AS unmapped FROM mapped
            UNION ALL
            SELECT course.id, mapped.trace, mapped.page, 1, 1
            FROM course
            JOIN mapped ON mapped.id = course.map
            WHERE course.kind IN (2, 3) AND course.former_kind = 1
        )
        WINDOW page AS (PARTITION BY trace, page ORDER BY id, unmapped)
    )
    WHERE NOT is_own AND former & 2
    GROUP BY id
),
told AS (
    -- By kind of row: what the log shows of the range.
    SELECT
        own.id, own.id AS shown, 0 AS rank, operation.time_ns, operation_kind.name AS what, NULL AS policy,
        CASE WHEN own.kind IN (10, 14) THEN operation.time_ns - latest.time_ns WHEN own.kind = 1 THEN operation.time_ns - unmap.time_ns
            ELSE operation.time_ns - map.time_ns END AS since_ns,
        CASE
            WHEN own.kind IN (2, 3) AND operation.size = 0 THEN 'size 0: undoes a failed map'
            WHEN own.kind IN (2, 3) AND operation.result = 0 THEN 'removed nothing'
            WHEN own.kind IN (2, 3) AND operation.result <> operation.size THEN 'removed ' || operation.result || ' bytes of ' || operation.size
            WHEN own.kind = 1 AND operation.flags & 32 THEN 'failed'
            WHEN own.kind = 1 AND course.map IS NOT NULL THEN CASE -- the same distance is the same page
                WHEN operation.paddr - operation.iova = map.paddr - map.iova THEN 'the same page again'
                WHEN operation.paddr IS NOT NULL AND map.paddr IS NOT NULL THEN 'another page than before'
                ELSE 'mapped again' END
                || CASE WHEN course.former_kind = 1 THEN ', over what is still mapped' ELSE '' END
            WHEN own.kind IN (2, 3) AND course.map IS NULL THEN 'mapped before the log begins, or unseen'
            WHEN own.kind IN (2, 3) AND course.former_kind IN (2, 3) THEN 'unmapped before, mapped again unseen'
            WHEN own.kind IN (10, 14) THEN coalesce(
                CASE WHEN own.kind = 10 THEN CASE operation.detail & 1 WHEN 0 THEN 'read, ' WHEN 1 THEN 'write, ' END END, ''
            ) || CASE latest.kind WHEN 1 THEN 'after the map' WHEN 2 THEN 'after the unmap' WHEN 3 THEN 'after the unmap'
                ELSE 'neither mapped nor unmapped before' END
        END AS note,
        coalesce(grade.name, CASE WHEN operation.domain IS NOT NULL THEN 'recorded' END) AS grade, NULL AS flush_line, 'recorded' AS evidence
    FROM own
    JOIN operation ON operation.id = own.id
    JOIN operation_kind ON operation_kind.id = own.kind
    LEFT JOIN grade ON grade.id = operation.grade
    LEFT JOIN course ON course.id = own.id
    LEFT JOIN latest ON latest.id = own.id
    LEFT JOIN operation AS unmap ON unmap.id = course.unmap
    LEFT JOIN operation AS map ON map.id = course.map
    UNION ALL
    -- Flushes of the log.
    SELECT
        flushed.id, flush.id, 1, flush.time_ns, 'flush', 'as logged', flush.time_ns - unmap.time_ns,
        operation_kind.name || CASE WHEN flush.id < unmap.id THEN ' inside the call' ELSE '' END, NULL, NULL, 'recorded'
    FROM flushed
    JOIN operation AS flush ON flush.id = flushed.flush
    JOIN operation AS unmap ON unmap.id = flushed.id
    JOIN operation_kind ON operation_kind.id = flush.kind
    UNION ALL
    -- Those of policies.
    SELECT DISTINCT
        replayed.id, replayed.id, 2,
        CASE WHEN window.closed_ns < 9223372036854775807 THEN window.closed_ns ELSE unmap.time_ns END,
        -- A detach and the free of a domain end a window; nothing need be flushed for it.
        CASE WHEN window.is_no_flush AND window.closed_ns < 9223372036854775807 THEN 'window end' ELSE 'flush' END, replayed.policy,
        CASE WHEN window.closed_ns < 9223372036854775807 THEN window.closed_ns - unmap.time_ns
            WHEN replayed.policy IN ('sync', 'per-page') THEN 0 END,
        CASE
            WHEN window.closed_ns < 9223372036854775807 THEN window.ended || CASE WHEN window.uncertain THEN ', events were lost before' ELSE '' END
            WHEN window.closed_ns IS NOT NULL THEN 'not by the end of the log'
            WHEN replayed.policy IN ('sync', 'per-page') THEN 'inside the call'
            WHEN replayed.windows_left_out > 0 THEN 'not kept (open at the end, or not among the longest): replay --windows all'
            ELSE 'no window: flushed inside the call, or no device attached'
        END,
        NULL, window.closed_line, replayed.evidence
    FROM replayed
    JOIN operation AS unmap ON unmap.id = replayed.id
    LEFT JOIN window ON window.operation = replayed.id AND window.replay = replayed.replay
    UNION ALL
    -- Its pages under other addresses.
    SELECT
        elsewhere.id, elsewhere.id, 3, operation.time_ns, 'page mapped elsewhere', NULL,
        CASE WHEN elsewhere.unmapped THEN operation.time_ns - before.time_ns END,
        CASE WHEN elsewhere.unmapped THEN 'after the unmap' ELSE 'while it is mapped here' END, NULL, NULL, 'recorded'
    FROM elsewhere
    JOIN operation ON operation.id = elsewhere.id
    JOIN operation AS before ON before.id = elsewhere.before
),
shown AS MATERIALIZED (
    SELECT what_happened.*
    FROM (SELECT DISTINCT shown FROM told) AS wanted
    CROSS JOIN what_happened ON what_happened.id = wanted.shown
)
SELECT
    shown.trace,
    told.time_ns,
    told.what,
    told.policy,
    shown.iova,
    CASE WHEN shown.kind IN ('unmap', 'unmap_fast') THEN coalesce(shown.result, shown.size) ELSE shown.size END AS size,
    shown.paddr,
    told.since_ns,
    told.note,
    shown.domain,
    shown.device,
    shown.cpu,
    shown.task,
    CASE WHEN told.rank = 2 THEN
        CASE WHEN told.flush_line IS NOT NULL THEN coalesce(
            (
                SELECT log_part.source || ':' || (log_piece.part_line + told.flush_line - log_piece.line)
                FROM log_piece
                JOIN log_part ON log_part.id = log_piece.part
                WHERE log_piece.trace = trace.id AND log_piece.line <= told.flush_line
                ORDER BY log_piece.line DESC
                LIMIT 1
            ),
            trace.source || ':' || told.flush_line
        ) END
    ELSE shown.place END AS place,
    (SELECT max(found) FROM kept) - (SELECT count(*) FROM own) AS left_out,
    CASE WHEN told.rank IN (0, 3) AND told.grade IN ('ambiguous', 'assumed') THEN 'assumed'
        WHEN told.rank IN (0, 3) AND told.grade IN ('dma', 'hardware', 'inferred') THEN 'inferred' ELSE told.evidence END AS evidence
FROM told
JOIN shown ON shown.id = told.shown
JOIN trace ON trace.name = shown.trace
ORDER BY trace.id, told.time_ns, told.id, told.rank, told.policy;
