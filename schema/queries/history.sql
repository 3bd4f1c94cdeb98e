-- What happened to an address, or a range of them, in order: mapped, unmapped, flushed, used again, faulted?
-- Parameters: :first and :last the first and the last byte, by bit pattern; whole pages of 4096 bytes are looked at. :trace a trace's
-- name, :domain a domain's, :policy one as asked for or canonical, each NULL for all; :rows how many of the latest maps, unmaps,
-- faults and accesses to tell (left_out: how many more there are).
-- Flushes of the log are told where it shows those of the API; those of policies where a replay kept the window (--windows).
-- What is said of a map, an unmap, a fault or an access is said of its first page in the range: before, what was there before it:
-- 'mapped', 'unmapped', 'unseen' where no map or unmap comes before it; page, of a map: 'same', 'other' or 'unknown', against the map before. Whose
-- page a fault or an access is of: as in report faults (design §4 28). asked: bytes that an unmap was asked for, where it removed others.
-- note: of a map 'failed'; of an unmap 'undo' (size 0: of a failed map) or 'nothing'; of a flush or a window's end its cause, 'not seen' (none
-- of the log within 20,000 operations), 'open' (at the end of what was replayed), 'no window', 'not kept'.
-- 'page mapped elsewhere' is told of the physical pages that the latest maps in the range led to, of 4096 for each trace; pages_left_out
-- says of how many it is not.
WITH
asked AS MATERIALIZED (
    SELECT :first >> 12 & 4503599627370495 AS first, :last >> 12 & 4503599627370495 AS last
),
-- All about the range, in one pass. First what is cheap and turns most operations down: does it begin behind the range, or end before?
-- Addresses from 2^63 on are stored as negative numbers. An end beyond 2^63 is a REAL, a range across 2^63 asks for no such end, and
-- for a range above it the last quarter below it is looked at too, of which an operation may reach up there.
met AS MATERIALIZED (
    SELECT
        operation.id, operation.trace, operation.domain, operation.kind, operation.iova >> 12 & 4503599627370495 AS first,
        operation.iova & 4095 AS offset,
        -- What it mapped or unmapped. A size-0 unmap, an unmap of nothing and a map that failed change nothing.
        CASE
            WHEN operation.kind = 1 AND operation.flags & 32 = 0 THEN min(operation.size, coalesce(operation.result, operation.size))
            WHEN operation.kind IN (2, 3) THEN coalesce(operation.result, operation.size)
            ELSE 0
        END AS bytes
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
kept AS (
    SELECT met.*, count(*) OVER () AS found, row_number() OVER (ORDER BY met.id DESC) AS back
    FROM met
    LEFT JOIN domain ON domain.id = met.domain
    WHERE :domain IS NULL OR domain.name = :domain OR met.domain IS NULL
),
own AS MATERIALIZED (
    SELECT
        kept.*, kept.first + (kept.offset + kept.bytes - 1 >> 12) AS last, max(kept.first, asked.first) AS page,
        CASE WHEN kept.kind IN (10, 14) THEN coalesce(kept.domain, where_a_device_is.domain) ELSE kept.domain END AS scope
    FROM kept
    CROSS JOIN asked
    JOIN operation ON operation.id = kept.id
    LEFT JOIN where_a_device_is ON where_a_device_is.device = operation.device
    WHERE kept.back <= :rows
),
-- Pages by the blocks that hold them, as in report faults: one equality finds what touches one of them.
level(level, shift, back) AS (
    VALUES (0, 0, 0), (1, 1, 0), (1, 1, 1), (2, 3, 0), (2, 3, 1), (3, 5, 0), (3, 5, 1), (4, 9, 0), (4, 9, 1), (5, 18, 0),
        (5, 18, 1)
),
own_page AS MATERIALIZED (SELECT DISTINCT trace, page FROM own),
own_block AS MATERIALIZED (
    SELECT ((own_page.page >> level.shift) - level.back) * 8 + level.level AS block, own_page.trace, own_page.page
    FROM own_page
    CROSS JOIN level
    UNION ALL
    SELECT 6, trace, page FROM own_page
),
-- What mapped and unmapped these pages: all that the log has of them, also what is not told for :domain or :rows.
touched AS MATERIALIZED (
    SELECT met.id, met.trace, met.domain, met.kind, own_block.page
    FROM met
    CROSS JOIN own_block ON own_block.block = CASE
        WHEN met.offset + met.bytes <= 4096 THEN met.first << 3
        WHEN met.offset + met.bytes <= 8192 THEN met.first << 2 & -8 | 1
        WHEN met.offset + met.bytes <= 32768 THEN met.first & -8 | 2
        WHEN met.offset + met.bytes <= 131072 THEN met.first >> 2 & -8 | 3
        WHEN met.offset + met.bytes <= 2097152 THEN met.first >> 6 & -8 | 4
        WHEN met.offset + met.bytes <= 1073741824 THEN met.first >> 15 & -8 | 5
        ELSE 6 END
    WHERE met.bytes > 0 AND +own_block.trace = met.trace
        AND own_block.page - met.first BETWEEN 0 AND met.offset + met.bytes - 1 >> 12
),
-- The last map and the last unmap before: in its domain, and where a fault's domain is not known or had nothing there, in any.
own_course AS (
    SELECT id, 0 AS is_change, trace, scope, page, kind FROM own
    UNION ALL
    SELECT id, 1, trace, domain, page, kind FROM touched
),
in_scope AS MATERIALIZED (
    SELECT id, kind, unmap, map
    FROM (
        SELECT
            id, is_change, kind,
            max(CASE WHEN is_change AND kind > 1 THEN id END) OVER course AS unmap,
            max(CASE WHEN is_change AND kind = 1 THEN id END) OVER course AS map
        FROM own_course
        WINDOW course AS (PARTITION BY trace, page, scope ORDER BY id, is_change)
    )
    WHERE NOT is_change
),
any_course AS (
    SELECT own.id, 0 AS is_change, own.trace, own.page, own.kind
    FROM own
    JOIN in_scope ON in_scope.id = own.id
    WHERE own.kind IN (10, 14) AND (own.scope IS NULL OR coalesce(in_scope.unmap, in_scope.map) IS NULL)
    UNION ALL
    SELECT id, 1, trace, page, kind FROM touched
),
anywhere AS MATERIALIZED (
    SELECT id, unmap, map
    FROM (
        SELECT
            id, is_change,
            max(CASE WHEN is_change AND kind > 1 THEN id END) OVER course AS unmap,
            max(CASE WHEN is_change AND kind = 1 THEN id END) OVER course AS map
        FROM any_course
        WINDOW course AS (PARTITION BY trace, page ORDER BY id, is_change)
    )
    WHERE NOT is_change
),
course AS MATERIALIZED (
    SELECT
        found.*,
        -- What counts as the last of them. In any domain an unmap counts also where another domain's map came later.
        CASE WHEN found.is_any AND unmap.domain IS NOT map.domain THEN coalesce(found.unmap, found.map)
            ELSE nullif(max(coalesce(found.unmap, 0), coalesce(found.map, 0)), 0) END AS last
    FROM (
        SELECT
            own.id, own.kind, anywhere.id IS NOT NULL AS is_any,
            CASE WHEN anywhere.id IS NULL THEN in_scope.unmap ELSE anywhere.unmap END AS unmap,
            CASE WHEN anywhere.id IS NULL THEN in_scope.map ELSE anywhere.map END AS map
        FROM own
        JOIN in_scope ON in_scope.id = own.id
        LEFT JOIN anywhere ON anywhere.id = own.id
        WHERE own.kind IN (10, 14) OR own.bytes > 0
    ) AS found
    LEFT JOIN operation AS unmap ON unmap.id = found.unmap
    LEFT JOIN operation AS map ON map.id = found.map
),
flushed AS MATERIALIZED (
    SELECT
        own.id, (SELECT flush FROM which_flush_covered WHERE which_flush_covered.operation = own.id AND which_flush_covered.page = own.page) AS flush
    FROM own
    JOIN trace ON trace.id = own.trace
    WHERE own.kind IN (2, 3) AND own.bytes > 0 AND own.domain IS NOT NULL AND trace.flush_layer = 'api'
),
-- What each policy makes of an unmap.
replayed AS (
    SELECT
        own.id, replay.id AS replay, replay_domain.policy, replay.options, replay_domain.evidence, replay.windows_left_out
    FROM own
    CROSS JOIN operation ON operation.id = own.id
    CROSS JOIN replay ON replay.trace = own.trace AND operation.time_ns BETWEEN replay.first_ns AND replay.last_ns
    CROSS JOIN replay_domain ON replay_domain.replay = replay.id AND replay_domain.domain = own.domain
    WHERE own.kind IN (2, 3) AND own.bytes > 0
        AND (:policy IS NULL OR replay.requested = :policy OR replay_domain.policy = :policy)
),
window AS MATERIALIZED (
    SELECT stale_window.operation, stale_window.replay, max(coalesce(stale_window.closed_ns, 9223372036854775807)) AS closed_ns,
        window_end.name AS ended, window_end.name IN ('detach', 'domain free') AS is_no_flush, stale_window.closed_line,
        stale_window.uncertain
    FROM stale_window
    CROSS JOIN asked
    JOIN window_end ON window_end.id = stale_window.window_end
    WHERE stale_window.operation IN (SELECT id FROM own)
        AND (stale_window.iova >> 12 & 4503599627370495) <= asked.last
        AND (stale_window.iova >> 12 & 4503599627370495) + ((stale_window.iova & 4095) + stale_window.size - 1 >> 12) >= asked.first
    GROUP BY stale_window.operation, stale_window.replay
),
-- The physical pages that the range led to, in runs that do not touch each other, those of the latest maps first; and who else maps them.
led_to AS (
    SELECT
        own.trace, (operation.paddr >> 12) + own.page - own.first AS first,
        (operation.paddr >> 12) + min(asked.last, own.last) - own.first AS last, max(own.id) AS map
    FROM own
    CROSS JOIN asked
    CROSS JOIN operation ON operation.id = own.id
    WHERE own.kind = 1 AND own.bytes > 0 AND operation.paddr IS NOT NULL
    GROUP BY 1, 2, 3
),
run AS MATERIALIZED (
    SELECT trace, min(first) AS first, max(last) - min(first) + 1 AS pages, max(map) AS map
    FROM (
        SELECT *, sum(is_new) OVER (PARTITION BY trace ORDER BY first, last) AS number
        FROM (
            SELECT
                *, coalesce(first > max(last) OVER (PARTITION BY trace ORDER BY first, last ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) + 1, 1)
                    AS is_new
            FROM led_to
        )
    )
    GROUP BY trace, number
),
placed AS MATERIALIZED (
    SELECT
        trace, first, pages, sum(pages) OVER (PARTITION BY trace ORDER BY map DESC, first) - pages AS place,
        sum(pages) OVER (PARTITION BY trace) AS all_pages
    FROM run
),
number(number) AS (SELECT 0 UNION ALL SELECT number + 1 FROM number WHERE number < 4095),
held AS MATERIALIZED (
    SELECT placed.trace, placed.first + number.number AS page
    FROM placed
    CROSS JOIN number ON number.number < min(placed.pages, 4096 - placed.place)
),
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
        WHEN (operation.paddr & 4095) + operation.size <= 4096 THEN operation.paddr >> 9 & -8
        WHEN (operation.paddr & 4095) + operation.size <= 8192 THEN operation.paddr >> 10 & -8 | 1
        WHEN (operation.paddr & 4095) + operation.size <= 32768 THEN operation.paddr >> 12 & -8 | 2
        WHEN (operation.paddr & 4095) + operation.size <= 131072 THEN operation.paddr >> 14 & -8 | 3
        WHEN (operation.paddr & 4095) + operation.size <= 2097152 THEN operation.paddr >> 18 & -8 | 4
        WHEN (operation.paddr & 4095) + operation.size <= 1073741824 THEN operation.paddr >> 27 & -8 | 5
        ELSE 6 END
    WHERE operation.kind = 1 AND +block.trace = operation.trace AND operation.flags & 32 = 0
        AND block.page - (operation.paddr >> 12) BETWEEN 0 AND ((operation.paddr & 4095) + operation.size - 1) >> 12
),
-- Which of our unmaps took which of our maps away: seen from the first page of either, one of which is the first that both have.
taken AS (
    SELECT id AS unmap, map FROM course WHERE kind IN (2, 3) AND map > coalesce(unmap, 0)
    UNION
    SELECT next.unmap, next.id
    FROM (
        SELECT
            id, page, lead(id) OVER course AS unmap, lead(kind) OVER course AS kind
        FROM touched
        WINDOW course AS (PARTITION BY trace, page, domain ORDER BY id)
    ) AS next
    JOIN own ON own.id = next.id AND own.page = next.page AND own.kind = 1
    WHERE next.kind IN (2, 3)
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
            SELECT unmap.id, mapped.trace, mapped.page, 1, 1
            FROM taken
            CROSS JOIN own AS unmap ON unmap.id = taken.unmap
            CROSS JOIN own AS map ON map.id = taken.map
            CROSS JOIN operation ON operation.id = taken.map
            CROSS JOIN mapped ON mapped.id = taken.map
                AND mapped.page - (operation.paddr >> 12) BETWEEN unmap.first - map.first AND unmap.last - map.first
        )
        WINDOW page AS (PARTITION BY trace, page ORDER BY id, unmapped)
    )
    WHERE NOT is_own AND former & 2
    GROUP BY id
),
told AS (
    -- By kind of row: what the log shows of the range.
    SELECT
        own.id, own.id AS shown, 0 AS rank, operation.time_ns, operation_kind.name AS what, NULL AS policy, NULL AS options,
        operation.time_ns - (
            SELECT former.time_ns
            FROM operation AS former
            WHERE former.id = CASE WHEN own.kind = 1 THEN course.unmap WHEN own.kind IN (2, 3) THEN course.map ELSE course.last END
        ) AS since_ns,
        CASE WHEN course.id IS NOT NULL THEN
            CASE WHEN course.last = course.map THEN 'mapped' WHEN course.last = course.unmap THEN 'unmapped' ELSE 'unseen' END
        END AS before,
        CASE WHEN own.kind = 1 AND course.map IS NOT NULL THEN CASE -- the same distance is the same page
            WHEN operation.paddr - operation.iova = map.paddr - map.iova THEN 'same'
            WHEN operation.paddr IS NOT NULL AND map.paddr IS NOT NULL THEN 'other'
            ELSE 'unknown'
        END END AS page,
        CASE WHEN own.kind IN (2, 3) AND (operation.size = 0 OR operation.flags & 32) THEN 'undo'
            WHEN own.kind IN (2, 3) AND own.bytes = 0 THEN 'nothing'
            WHEN own.kind = 1 AND own.bytes = 0 THEN 'failed' END AS note,
        NULL AS inside_call, NULL AS flush_line, NULL AS uncertain,
        CASE
            -- A fault or an access: how sure it is whose last map and unmap they are.
            WHEN own.kind IN (10, 14) AND course.is_any AND course.last IS NOT NULL THEN 'assumed'
            WHEN own.kind IN (10, 14) THEN CASE WHEN own.domain IS NULL THEN 'inferred' ELSE 'recorded' END
            WHEN grade.name IN ('ambiguous', 'assumed') THEN 'assumed'
            WHEN grade.name IN ('dma', 'hardware', 'inferred') THEN 'inferred'
            ELSE 'recorded'
        END AS evidence
    FROM own
    JOIN operation ON operation.id = own.id
    JOIN operation_kind ON operation_kind.id = own.kind
    LEFT JOIN grade ON grade.id = operation.grade
    LEFT JOIN course ON course.id = own.id
    LEFT JOIN operation AS map ON map.id = course.map
    UNION ALL
    -- Flushes of the log.
    SELECT
        flushed.id, coalesce(flush.id, unmap.id), 1, coalesce(flush.time_ns, unmap.time_ns), 'flush', 'as logged', NULL,
        flush.time_ns - unmap.time_ns, NULL, NULL, coalesce(operation_kind.name, 'not seen'), flush.id < unmap.id, NULL, NULL, 'recorded'
    FROM flushed
    JOIN operation AS unmap ON unmap.id = flushed.id
    LEFT JOIN operation AS flush ON flush.id = flushed.flush
    LEFT JOIN operation_kind ON operation_kind.id = flush.kind
    UNION ALL
    -- Those of policies.
    SELECT DISTINCT
        replayed.id, replayed.id, 2,
        CASE WHEN window.closed_ns < 9223372036854775807 THEN window.closed_ns ELSE unmap.time_ns END,
        -- A detach and the free of a domain end a window; nothing need be flushed for it.
        CASE WHEN window.is_no_flush AND window.closed_ns < 9223372036854775807 THEN 'window end' ELSE 'flush' END, replayed.policy,
        CASE WHEN instr(replayed.options, 'from=') THEN replayed.options END,
        CASE WHEN window.closed_ns < 9223372036854775807 THEN window.closed_ns - unmap.time_ns
            WHEN replayed.policy IN ('sync', 'per-page') THEN 0 END,
        NULL, NULL,
        CASE
            WHEN window.closed_ns < 9223372036854775807 THEN window.ended
            WHEN window.closed_ns IS NOT NULL THEN 'open'
            WHEN replayed.policy IN ('sync', 'per-page') THEN NULL
            WHEN replayed.windows_left_out > 0 THEN 'not kept'
            ELSE 'no window'
        END,
        CASE WHEN window.closed_ns < 9223372036854775807 THEN 0
            WHEN window.closed_ns IS NULL AND replayed.policy IN ('sync', 'per-page') THEN 1 END,
        window.closed_line, window.uncertain, replayed.evidence
    FROM replayed
    JOIN operation AS unmap ON unmap.id = replayed.id
    LEFT JOIN window ON window.operation = replayed.id AND window.replay = replayed.replay
    UNION ALL
    -- Its pages under other addresses.
    SELECT
        elsewhere.id, elsewhere.id, 3, operation.time_ns, 'page mapped elsewhere', NULL, NULL,
        CASE WHEN elsewhere.unmapped THEN operation.time_ns - before.time_ns END,
        CASE WHEN elsewhere.unmapped THEN 'unmapped' ELSE 'mapped' END, NULL, NULL, NULL, NULL, NULL,
        CASE WHEN grade.name IN ('ambiguous', 'assumed') THEN 'assumed'
            WHEN grade.name IN ('dma', 'hardware', 'inferred') THEN 'inferred' ELSE 'recorded' END
    FROM elsewhere
    JOIN operation ON operation.id = elsewhere.id
    LEFT JOIN grade ON grade.id = operation.grade
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
    CASE WHEN told.rank = 0 AND shown.kind IN ('unmap', 'unmap_fast') AND shown.result <> shown.size THEN shown.size END AS asked,
    shown.paddr,
    told.since_ns,
    told.before,
    told.page,
    CASE WHEN shown.kind = 'io_page_fault' THEN CASE shown.detail & 1 WHEN 0 THEN 'read' WHEN 1 THEN 'write' END END AS access,
    told.note,
    told.inside_call,
    told.uncertain,
    shown.domain,
    shown.device,
    shown.cpu,
    shown.task,
    CASE
        WHEN told.rank = 2 THEN (SELECT place FROM where_in_the_log WHERE trace = trace.id AND line = told.flush_line)
        WHEN told.note IS NOT 'not seen' THEN shown.place
    END AS place,
    told.options,
    (SELECT max(found) FROM kept) - (SELECT count(*) FROM own) AS left_out,
    coalesce((SELECT max(placed.all_pages - 4096, 0) FROM placed WHERE placed.trace = trace.id), 0) AS pages_left_out,
    told.evidence
FROM told
JOIN shown ON shown.id = told.shown
JOIN trace ON trace.name = shown.trace
ORDER BY trace.id, told.time_ns, told.id, told.rank, told.policy, told.options;
