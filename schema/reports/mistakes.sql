-- What did the callers of the IOMMU API do wrong, how often, and what did it collide with?
-- by: trace, domain, device, task, mistake
-- needs: whole replay
-- nothing found: no mistake of a caller was found
-- at most by mistake: 1000 of mistakes_of_a_kind
-- note by mistake: the first 1000 of each kind of a trace, and none of domains that are not known; by trace all are counted
-- tables leave out: is_mistake, mistakes_of_a_kind
-- Parameters: :trace a trace's name, NULL for all; :by 'trace' (the default), 'domain', 'device', 'task' or 'mistake' (each one by
-- itself, the first 1000 of a kind; mistakes_of_a_kind: how many there are).
-- uncertain: events were lost that may explain it; or it is a double map, which Linux 6.19 and later refuse with Intel's and AMD's page
-- tables, so that something was lost, or it is of another domain. ambiguous: the log does not name the domain. Neither is in calls (design §4 29).
-- What a replay of the whole log saw; by trace each kind has a row, also where there was none.
WITH
member AS (
    SELECT
        mistake_summary.trace,
        CASE WHEN :by = 'domain' THEN domain WHEN :by = 'device' THEN coalesce(device, 0)
            WHEN :by = 'task' THEN coalesce(task, 0) ELSE 0 END AS member,
        kind,
        CAST(total(calls) FILTER (WHERE certainty = 0) AS INTEGER) AS calls,
        CAST(total(bytes) FILTER (WHERE certainty = 0) AS INTEGER) AS bytes,
        CAST(total(calls) FILTER (WHERE certainty = 1) AS INTEGER) AS uncertain,
        CAST(total(calls) FILTER (WHERE certainty = 2) AS INTEGER) AS ambiguous
    FROM mistake_summary
    WHERE coalesce(:by, 'trace') IN ('domain', 'device', 'task')
    GROUP BY 1, 2, 3
    UNION ALL
    SELECT
        replayed.trace, 0, mistake_kind.id,
        CAST(total(calls) FILTER (WHERE certainty = 0) AS INTEGER),
        CAST(total(bytes) FILTER (WHERE certainty = 0) AS INTEGER),
        CAST(total(calls) FILTER (WHERE certainty = 1) AS INTEGER),
        CAST(total(calls) FILTER (WHERE certainty = 2) AS INTEGER)
    FROM (SELECT DISTINCT trace FROM mapping_summary) AS replayed
    CROSS JOIN mistake_kind
    LEFT JOIN mistake_summary ON mistake_summary.trace = replayed.trace AND mistake_summary.kind = mistake_kind.id
    WHERE coalesce(:by, 'trace') = 'trace'
    GROUP BY replayed.trace, mistake_kind.id
),
called AS (
    -- What the rate is of: map calls for the kinds of maps, unmap calls for those of unmaps.
    SELECT trace, CASE WHEN :by = 'domain' THEN domain ELSE 0 END AS member, sum(maps) AS maps, sum(unmaps) AS unmaps
    FROM mapping_summary
    WHERE coalesce(:by, 'trace') IN ('trace', 'domain')
    GROUP BY 1, 2
)
SELECT
    trace.name AS trace,
    CASE WHEN :by = 'domain' THEN domain.name END AS domain,
    CASE WHEN :by = 'device' THEN coalesce(device.name, 'unknown') END AS device,
    CASE WHEN :by = 'task' THEN coalesce(task.comm || '-' || task.pid, 'unknown') END AS task,
    mistake_kind.name AS kind,
    mistake_kind.is_mistake,
    member.calls,
    NULL AS mistakes_of_a_kind,
    round(1000.0 * member.calls / nullif(CASE
        WHEN mistake_kind.name = 'double_map' THEN called.maps
        WHEN mistake_kind.name = 'misaligned' THEN called.maps + called.unmaps
        ELSE called.unmaps
    END, 0), 3) AS per_1000_calls,
    CASE WHEN trace.last_ns > trace.first_ns THEN round(member.calls * 1e9 / (trace.last_ns - trace.first_ns), 3) END AS per_second,
    member.bytes,
    member.uncertain,
    member.ambiguous,
    NULL AS iova,
    NULL AS size,
    NULL AS result,
    NULL AS place,
    NULL AS other_iova,
    NULL AS other_size,
    NULL AS other_task,
    NULL AS other_place,
    CASE WHEN domain.evidence = 'assumed' THEN 'assumed' ELSE mistake_kind.evidence END AS evidence,
    mistake_kind.meaning
FROM member
JOIN trace ON trace.id = member.trace
JOIN mistake_kind ON mistake_kind.id = member.kind
LEFT JOIN called ON called.trace = member.trace AND called.member = member.member
LEFT JOIN domain ON :by = 'domain' AND domain.id = member.member
LEFT JOIN device ON :by = 'device' AND device.id = member.member
LEFT JOIN task ON :by = 'task' AND task.id = member.member
WHERE :trace IS NULL OR trace.name = :trace
UNION ALL
SELECT
    found.trace, found.domain, found.device, found.task, mistake_kind.name, mistake_kind.is_mistake,
    mistake.certainty = 0, of_a_kind.calls, NULL, NULL, mistake.bytes, mistake.certainty = 1, mistake.certainty = 2, found.iova, found.size,
    found.result, found.place, other.iova, other.size, other.task, other.place,
    CASE WHEN domain.evidence = 'assumed' THEN 'assumed' ELSE mistake_kind.evidence END, mistake_kind.meaning
FROM mistake
JOIN mistake_kind ON mistake_kind.id = mistake.kind
CROSS JOIN what_happened AS found ON found.id = mistake.operation
CROSS JOIN operation ON operation.id = mistake.operation
LEFT JOIN domain ON domain.id = operation.domain
LEFT JOIN what_happened AS other ON other.id = mistake.other
LEFT JOIN (
    SELECT trace, kind, CAST(total(calls) AS INTEGER) AS calls FROM mistake_summary WHERE certainty < 2 GROUP BY trace, kind
) AS of_a_kind ON of_a_kind.trace = operation.trace AND of_a_kind.kind = mistake.kind
WHERE :by = 'mistake' AND (:trace IS NULL OR found.trace = :trace);
