-- How much of what the reports say rests on what, and how could more of it be recorded?
-- by: trace, domain
-- Parameters: :trace a trace's name, NULL for all; :by 'trace' (the default) or 'domain' (only what is known domain by domain).
-- Reads summaries only. count of the total rest on it; evidence is the weakest word for numbers that need it. basis: what of the log, or
-- of what was asked, it rests on, in a word.
-- tables add: rests_on, record_better
WITH
wanted AS (
    SELECT *
    FROM trace
    WHERE :trace IS NULL OR name = :trace
),
own AS (
    SELECT
        domain.*, CASE WHEN :by = 'domain' THEN domain.id ELSE 0 END AS member,
        domain.mode_reason <> 'no unmaps' AS unmaps, wanted.shows_attaches
    FROM domain
    JOIN wanted ON wanted.id = domain.trace
),
shaped AS (
    -- Unmap calls: kinds 2 and 3 of operation; of their flags 4 tracepoint seen, 16 return missing, 64 the function was probed.
    SELECT
        wanted.id AS trace, wanted.shows_returns,
        coalesce(sum(kind_count.count), 0) AS calls,
        coalesce(sum(kind_count.count) FILTER (WHERE kind_count.shape & 64), 0) AS probed,
        coalesce(sum(kind_count.count) FILTER (
            WHERE kind_count.shape & 4 OR wanted.shows_returns AND NOT kind_count.shape & 16), 0) AS done
    FROM wanted
    LEFT JOIN kind_count
        ON kind_count.trace = wanted.id AND kind_count.stage = 'operation' AND kind_count.kind IN (2, 3)
    GROUP BY wanted.id
),
flushed AS (
    SELECT
        wanted.id AS trace, wanted.flush_layer,
        coalesce(sum(kind_count.count) FILTER (WHERE kind_count.stage = 'operation' AND kind_count.kind IN (4, 5)), 0) AS api,
        coalesce(sum(kind_count.count) FILTER (WHERE kind_count.stage = 'layer' AND kind_count.kind IN (11, 15, 22, 23, 25, 31)), 0) AS commands
    FROM wanted
    LEFT JOIN kind_count ON kind_count.trace = wanted.id
    GROUP BY wanted.id
),
said (trace, member, place, what, part, count, evidence, basis) AS (
    SELECT
        own.trace, own.member, 10 + grade.id, 'domain of maps and unmaps', grade.name, sum(domain_grade.operations),
        CASE WHEN grade.id <= 2 THEN 'recorded' WHEN grade.id <= 5 THEN 'inferred' ELSE 'assumed' END,
        grade.name
    FROM own
    JOIN domain_grade ON domain_grade.domain = own.id
    JOIN grade ON grade.id = domain_grade.grade
    GROUP BY own.trace, own.member, grade.id
    UNION ALL
    SELECT
        own.trace, own.member, 20, 'mode of domains that unmap', own.mode, count(*),
        CASE own.mode WHEN 'unknown' THEN 'assumed' ELSE 'inferred' END,
        CASE own.mode WHEN 'unknown' THEN 'nothing' ELSE 'flushes' END
    FROM own
    WHERE own.unmaps
    GROUP BY own.trace, own.member, own.mode
    UNION ALL
    SELECT
        own.trace, own.member, 30, 'kind of domains', own.kind, count(*),
        CASE own.kind WHEN 'unknown' THEN 'assumed' ELSE own.kind_evidence END,
        CASE WHEN own.kind = 'unknown' THEN 'nothing' WHEN own.kind_evidence = 'recorded' THEN 'allocation' ELSE 'calls' END
    FROM own
    GROUP BY own.trace, own.member, own.kind, own.kind_evidence
    UNION ALL
    SELECT trace, member, 40, 'attached devices of domains', attached, count(*), evidence, basis
    FROM (
        SELECT
            own.trace, own.member,
            CASE WHEN own.shows_attaches AND own.was_attached THEN 'attach seen'
                WHEN NOT own.shows_attaches OR own.assumed_attached THEN 'taken as attached' ELSE 'never attached' END AS attached,
            CASE WHEN own.shows_attaches AND own.was_attached THEN 'recorded'
                WHEN NOT own.shows_attaches OR own.assumed_attached THEN 'assumed' ELSE 'inferred' END AS evidence,
            CASE WHEN own.shows_attaches AND own.was_attached THEN 'attach'
                WHEN NOT own.shows_attaches THEN 'no attaches'
                WHEN own.assumed_attached THEN 'older than the log' ELSE 'attaches of others' END AS basis
        FROM own
    )
    GROUP BY trace, member, attached, evidence, basis
    UNION ALL
    SELECT trace, 0, 50, 'bytes that unmaps removed', 'as returned', done, 'recorded', 'return'
    FROM shaped
    WHERE done > 0
    UNION ALL
    SELECT
        trace, 0, 51, 'bytes that unmaps removed', 'as asked for', calls - done, 'assumed', 'entry'
    FROM shaped
    WHERE calls > done
    UNION ALL
    SELECT trace, 0, 55, 'which call unmaps were', 'by name', probed, 'recorded', 'probe'
    FROM shaped
    WHERE probed > 0
    UNION ALL
    SELECT
        trace, 0, 56, 'which call unmaps were', 'iommu_unmap or _fast', calls - probed, 'assumed',
        'tracepoint'
    FROM shaped
    WHERE calls > probed
    UNION ALL
    SELECT
        trace, 0, 60, 'flushes of the log', flush_layer,
        CASE flush_layer WHEN 'api' THEN api WHEN 'hardware' THEN commands ELSE 0 END,
        CASE flush_layer WHEN 'api' THEN 'recorded' WHEN 'hardware' THEN 'inferred' ELSE 'assumed' END,
        CASE flush_layer WHEN 'api' THEN 'calls' WHEN 'hardware' THEN 'commands' ELSE 'nothing' END
    FROM flushed
    UNION ALL
    SELECT
        id, 0, 70, 'clock', CASE WHEN backwards > 0 THEN 'in order' ELSE 'all in order' END, events - backwards, 'recorded',
        'stamps'
    FROM wanted
    WHERE events > 0
    UNION ALL
    SELECT
        id, 0, 71, 'clock', 'earlier than the event before', backwards, 'assumed',
        'lines'
    FROM wanted
    WHERE backwards > 0
    UNION ALL
    SELECT
        wanted.id, 0, 72, 'clock', 'no time in the line', parse_issue_count.count, 'assumed', 'event before'
    FROM parse_issue_count
    JOIN wanted ON wanted.id = parse_issue_count.trace
    WHERE parse_issue_count.reason = 'event without time, CPU and task'
    UNION ALL
    SELECT
        wanted.id, 0, 75, 'events', CASE event_count.understood WHEN 1 THEN 'understood' ELSE 'not understood' END,
        sum(event_count.count), CASE event_count.understood WHEN 1 THEN 'recorded' ELSE 'assumed' END,
        CASE event_count.understood WHEN 1 THEN 'fields' ELSE 'nothing' END
    FROM event_count
    JOIN wanted ON wanted.id = event_count.trace
    GROUP BY wanted.id, event_count.understood
    UNION ALL
    SELECT
        id, 0, 78, 'lost events', 'overwritten before the log begins', buffer_written - buffer_entries, 'recorded', 'header'
    FROM wanted
    WHERE buffer_written > buffer_entries
    UNION ALL
    SELECT
        wanted.id, 0, 79, 'lost events', 'announced', CAST(total(max(coalesce(lost_events.count, 1), 0)) AS INTEGER), 'recorded',
        'markers'
    FROM lost_events
    JOIN wanted ON wanted.id = lost_events.trace
    GROUP BY wanted.id
    UNION ALL
    SELECT
        wanted.id, 0, 80, 'lost events', 'no ' || what_must_have_happened.what, what_must_have_happened.missing, what_must_have_happened.evidence,
        what_must_have_happened.implied_by
    FROM what_must_have_happened
    JOIN wanted ON wanted.name = what_must_have_happened.trace
    UNION ALL
    SELECT
        replay.trace, 0, 90, 'flushes of replays', replay.requested || CASE WHEN replay.requested <> replay.policy THEN ' = ' || replay.policy ELSE '' END,
        count(*), replay.evidence,
        CASE replay.evidence WHEN 'recorded' THEN 'flushes' WHEN 'inferred' THEN 'counts' WHEN 'modelled' THEN 'model'
            ELSE CASE WHEN replay.policy = 'per-page' OR replay.policy LIKE '%vfio%' THEN 'page sizes'
                WHEN replay.requested IN ('fast', 'lazy') THEN 'kinds of domains'
                ELSE 'domains of operations' END END
    FROM replay
    JOIN wanted ON wanted.id = replay.trace
    GROUP BY replay.trace, replay.requested, replay.policy, replay.evidence
    UNION ALL
    SELECT
        replay.trace, 0, 91, 'page sizes of replays', substr(
            replay.options, 12, instr(replay.options || ' ', ' ') - 12),
        count(*), 'assumed', 'option'
    FROM replay
    JOIN wanted ON wanted.id = replay.trace
    WHERE replay.options LIKE 'page-sizes=%'
    GROUP BY 1, 5
    UNION ALL
    SELECT
        replay.trace, 0, 92, 'timers of replays', substr(hz.text, 1, instr(hz.text || ' ', ' ') - 1), count(*), 'modelled',
        'timer wheel'
    FROM replay
    JOIN wanted ON wanted.id = replay.trace
    JOIN (SELECT id, substr(options, instr(options, 'hz=')) AS text FROM replay WHERE instr(options, 'hz=')) AS hz
        ON hz.id = replay.id
    WHERE replay.policy LIKE '%queue=%'
    GROUP BY 1, 5
    UNION ALL
    SELECT
        replay.trace, 0, 93, 'commands of replays', replay.hardware, count(*), 'modelled',
        'driver'
    FROM replay
    JOIN wanted ON wanted.id = replay.trace
    WHERE replay.hardware IS NOT NULL
    GROUP BY replay.trace, replay.hardware
    UNION ALL
    SELECT
        replay.trace, 0, 94, 'accesses of the simulated IOTLB', replay.accesses, count(*),
        CASE replay.accesses WHEN 'recorded' THEN 'recorded' ELSE 'assumed' END,
        CASE replay.accesses WHEN 'recorded' THEN 'iotlb_fill' ELSE 'option' END
    FROM replay
    JOIN wanted ON wanted.id = replay.trace
    WHERE replay.accesses IS NOT NULL
    GROUP BY replay.trace, replay.accesses
    UNION ALL
    SELECT
        NULL, 0, 100, 'cost constants', cost.evidence, count(*),
        'assumed', 'other machines'
    FROM cost
    GROUP BY cost.evidence
)
SELECT
    wanted.name AS trace,
    domain.name AS domain,
    said.what,
    said.part,
    said.count,
    CASE
        WHEN said.what = 'lost events' OR said.place BETWEEN 90 AND 99 THEN NULL
        ELSE sum(said.count) OVER (PARTITION BY said.trace, said.member, said.what)
    END AS total,
    CASE
        WHEN said.what = 'lost events' OR said.place BETWEEN 90 AND 99 THEN NULL
        ELSE round(100.0 * said.count / nullif(sum(said.count) OVER (PARTITION BY said.trace, said.member, said.what), 0), 2)
    END AS percent,
    said.evidence,
    said.basis
FROM said
LEFT JOIN wanted ON wanted.id = said.trace
LEFT JOIN domain ON :by = 'domain' AND domain.id = said.member
WHERE coalesce(:by, 'trace') <> 'domain' OR said.member > 0
ORDER BY said.trace IS NULL, said.trace, said.member, said.place, said.count DESC, said.part;
