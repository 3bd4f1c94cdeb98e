-- What was mapped and never unmapped by the end of the log, by whom, and does it grow?
-- by: trace, domain, device, task, mapping
-- needs: whole replay, maps
-- nothing found: no leak: nothing that the log maps was still mapped at its end, or when its domain was freed
-- at most by mapping: 100 of live_mappings
-- note by mapping: the 100 largest map calls of each trace; by domain, device and task all are counted
-- tables leave out: live_mappings, oldest_iova, oldest_bytes, largest_iova
-- tables add: pattern
-- Parameters: :trace a trace's name, NULL for all; :by 'trace' (the default), 'domain', 'device', 'task' or 'mapping' (the 100 largest
-- map calls of a trace; live_mappings: how many there are).
-- made_by: how many of these mappings had been made by each tenth of the log; made_per_second: those of after the first tenth.
-- live_bytes_at: all that was mapped then, by trace and domain; bytes_more_per_second: from the first tenth to the end. before: unmap calls of what was mapped before the recording, which is never counted here (design §4 30).
-- state: 'freed with its domain' is no leak. pattern: 'none', freed; 'in flight', all made in the last tenth of the log; 'set up', all in the
-- first; 'steady', no more is mapped at the end than after the first tenth; 'growing', made in most tenths, and more and more is mapped;
-- 'growing or steady', which of them is told by trace and domain only; else 'some'.
-- What a replay of the whole log saw.
WITH
only_device AS MATERIALIZED (
    SELECT domain, CASE WHEN count(*) = 1 THEN min(device) END AS device FROM attachment GROUP BY domain
),
last_loss AS MATERIALIZED (SELECT trace, max(line) AS line FROM lost_events GROUP BY trace),
live AS MATERIALIZED (
    SELECT
        operation.id, operation.trace, operation.domain, coalesce(operation.device, only_device.device) AS device, operation.task,
        operation.time_ns, operation.iova, live_mapping.bytes, domain.freed_ns IS NOT NULL AS freed, domain.name = 'unresolved' AS unresolved,
        operation.line <= coalesce(last_loss.line, 0) AS uncertain,
        min(max(CAST((operation.time_ns - trace.first_ns) * 10.0 / max(trace.last_ns - trace.first_ns, 1) AS INTEGER), 0), 9) AS tenth
    FROM live_mapping
    CROSS JOIN operation ON operation.id = live_mapping.operation
    CROSS JOIN trace ON trace.id = operation.trace
    CROSS JOIN domain ON domain.id = operation.domain
    LEFT JOIN only_device ON only_device.domain = operation.domain
    LEFT JOIN last_loss ON last_loss.trace = operation.trace
    WHERE :trace IS NULL OR trace.name = :trace
),
told AS (
    SELECT
        *,
        CASE WHEN :by = 'domain' THEN domain WHEN :by = 'device' THEN coalesce(device, 0) WHEN :by = 'task' THEN task
            WHEN :by = 'mapping' THEN id ELSE 0 END AS member
    FROM live
),
member AS (
    SELECT
        trace, member, freed, count(*) AS mappings, CAST(total(bytes) AS INTEGER) AS bytes,
        -- Of several alike the first.
        min(printf('%020d %d', time_ns + 4611686018427387904, id)) AS oldest,
        max(printf('%020d %020d', bytes, 9223372036854775807 - id)) AS largest,
        sum(uncertain) AS uncertain, sum(unresolved) AS ambiguous, sum(tenth = 9) AS made_last, sum(tenth = 0) AS made_first,
        sum(tenth <= 0) || ' ' || sum(tenth <= 1) || ' ' || sum(tenth <= 2) || ' ' || sum(tenth <= 3) || ' ' || sum(tenth <= 4)
            || ' ' || sum(tenth <= 5) || ' ' || sum(tenth <= 6) || ' ' || sum(tenth <= 7) || ' ' || sum(tenth <= 8) || ' '
            || count(*) AS made_by,
        count(DISTINCT tenth) AS tenths
    FROM told
    GROUP BY trace, member, freed
),
chosen AS MATERIALIZED (
    SELECT
        *, CAST(substr(oldest, 22) AS INTEGER) AS oldest_id, 9223372036854775807 - CAST(substr(largest, 22) AS INTEGER) AS largest_id
    FROM (
        SELECT *, row_number() OVER (PARTITION BY trace ORDER BY bytes DESC, member) AS rank, count(*) OVER (PARTITION BY trace) AS members
        FROM member
    )
    WHERE coalesce(:by, 'trace') <> 'mapping' OR rank <= 100
),
sampled AS (
    SELECT
        trace, member, group_concat(bytes, ' ') AS live_bytes_at, total(bytes) FILTER (WHERE step = 1) AS first_bytes,
        total(bytes) FILTER (WHERE step = 10) AS last_bytes
    FROM (
        SELECT trace, CASE WHEN :by = 'domain' THEN domain ELSE 0 END AS member, step, CAST(total(bytes) AS INTEGER) AS bytes
        FROM live_sample
        WHERE coalesce(:by, 'trace') IN ('trace', 'domain')
        GROUP BY 1, 2, 3
        ORDER BY 1, 2, 3
    )
    GROUP BY trace, member
),
before AS (
    SELECT trace, CASE WHEN :by = 'domain' THEN domain ELSE 0 END AS member, sum(unmaps_without_map) AS unmaps
    FROM mapping_summary
    WHERE coalesce(:by, 'trace') IN ('trace', 'domain')
    GROUP BY 1, 2
)
SELECT
    trace.name AS trace,
    CASE WHEN :by IN ('domain', 'mapping') THEN coalesce(domain.name, oldest_domain.name) END AS domain,
    CASE WHEN :by = 'device' THEN coalesce(device.name, 'unknown') END AS device,
    CASE WHEN :by IN ('task', 'mapping') THEN task.comm || '-' || task.pid END AS task,
    CASE WHEN chosen.freed THEN 'freed with its domain' ELSE 'still mapped' END AS state,
    chosen.mappings,
    CASE WHEN :by = 'mapping' THEN chosen.members END AS live_mappings,
    chosen.bytes,
    trace.last_ns - oldest.time_ns AS oldest_ns,
    printf('0x%x', oldest.iova) AS oldest_iova,
    oldest_live.bytes AS oldest_bytes,
    (SELECT place FROM what_happened WHERE id = chosen.oldest_id) AS oldest_place,
    largest_live.bytes AS largest_bytes,
    printf('0x%x', largest.iova) AS largest_iova,
    (SELECT place FROM what_happened WHERE id = chosen.largest_id) AS largest_place,
    chosen.made_by,
    CASE WHEN trace.last_ns > trace.first_ns
        THEN round((chosen.mappings - chosen.made_first) / ((trace.last_ns - trace.first_ns) * 0.9e-9), 3)
    END AS made_per_second,
    CASE WHEN trace.last_ns > trace.first_ns
        THEN round((sampled.last_bytes - sampled.first_bytes) / ((trace.last_ns - trace.first_ns) * 0.9e-9), 1)
    END AS bytes_more_per_second,
    CASE
        WHEN trace.last_ns <= trace.first_ns THEN NULL
        WHEN chosen.freed THEN 'none'
        WHEN chosen.made_last = chosen.mappings THEN 'in flight'
        WHEN chosen.made_first = chosen.mappings THEN 'set up'
        WHEN sampled.first_bytes > 0 AND sampled.last_bytes <= sampled.first_bytes * 1.05 THEN 'steady'
        WHEN chosen.tenths >= 8 AND sampled.last_bytes IS NOT NULL THEN 'growing'
        WHEN chosen.tenths >= 8 THEN 'growing or steady'
        ELSE 'some'
    END AS pattern,
    sampled.live_bytes_at,
    before.unmaps AS before,
    chosen.uncertain,
    chosen.ambiguous,
    'modelled' AS evidence
FROM chosen
JOIN trace ON trace.id = chosen.trace
JOIN operation AS oldest ON oldest.id = chosen.oldest_id
JOIN operation AS largest ON largest.id = chosen.largest_id
JOIN live_mapping AS oldest_live ON oldest_live.operation = chosen.oldest_id
JOIN live_mapping AS largest_live ON largest_live.operation = chosen.largest_id
JOIN domain AS oldest_domain ON oldest_domain.id = oldest.domain
LEFT JOIN sampled ON sampled.trace = chosen.trace AND sampled.member = chosen.member
LEFT JOIN before ON before.trace = chosen.trace AND before.member = chosen.member
LEFT JOIN domain ON :by = 'domain' AND domain.id = chosen.member
LEFT JOIN device ON :by = 'device' AND device.id = chosen.member
LEFT JOIN task ON task.id = CASE :by WHEN 'task' THEN chosen.member WHEN 'mapping' THEN oldest.task END
ORDER BY chosen.trace, chosen.freed, chosen.bytes DESC, chosen.member;
