-- How much of what the reports say rests on what, and how could more of it be recorded?
-- by: trace, domain
-- Parameters: :trace a trace's name, NULL for all; :by 'trace' (the default) or 'domain' (only what is known domain by domain).
-- Reads summaries only. count of the total rest on it; evidence is the weakest word for numbers that need it.
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
        coalesce(sum(kind_count.count) FILTER (WHERE kind_count.stage = 'layer' AND kind_count.kind IN (11, 15, 22, 23, 25)), 0) AS commands
    FROM wanted
    LEFT JOIN kind_count ON kind_count.trace = wanted.id
    GROUP BY wanted.id
),
said (trace, member, place, what, part, count, evidence, rests_on, record_better) AS (
    SELECT
        own.trace, own.member, 10 + grade.id, 'domain of maps and unmaps', grade.name, sum(domain_grade.operations),
        CASE WHEN grade.id <= 2 THEN 'recorded' WHEN grade.id <= 5 THEN 'inferred' ELSE 'assumed' END,
        grade.meaning,
        CASE WHEN grade.id > 1 THEN 'function probes with domain=$arg1 on __iommu_map, iommu_unmap and iommu_unmap_fast' END
    FROM own
    JOIN domain_grade ON domain_grade.domain = own.id
    JOIN grade ON grade.id = domain_grade.grade
    GROUP BY own.trace, own.member, grade.id
    UNION ALL
    SELECT
        own.trace, own.member, 20, 'mode of domains that unmap', own.mode, count(*),
        CASE own.mode WHEN 'unknown' THEN 'assumed' ELSE 'inferred' END,
        CASE own.mode WHEN 'unknown' THEN 'nothing in the log tells when it flushed' ELSE 'what follows its unmaps' END,
        CASE own.mode WHEN 'unknown' THEN 'probes on the driver''s iotlb_sync and flush_iotlb_all, or event qi_submit' END
    FROM own
    WHERE own.unmaps
    GROUP BY own.trace, own.member, own.mode
    UNION ALL
    SELECT
        own.trace, own.member, 30, 'kind of domains', own.kind, count(*),
        CASE own.kind WHEN 'unknown' THEN 'assumed' ELSE own.kind_evidence END,
        CASE WHEN own.kind = 'unknown' THEN 'nothing in the log tells what it is for: policy fast takes it for a DMA domain'
            WHEN own.kind_evidence = 'recorded' THEN 'the event of its allocation' ELSE 'what it does' END,
        CASE WHEN own.kind_evidence <> 'recorded' OR own.kind = 'unknown' THEN 'a return probe on the driver''s domain_alloc, from before the domain is made' END
    FROM own
    GROUP BY own.trace, own.member, own.kind, own.kind_evidence
    UNION ALL
    SELECT trace, member, 40, 'attached devices of domains', attached, count(*), evidence, rests_on, record_better
    FROM (
        SELECT
            own.trace, own.member,
            CASE WHEN own.shows_attaches AND own.was_attached THEN 'attach seen'
                WHEN NOT own.shows_attaches OR own.assumed_attached THEN 'taken as attached' ELSE 'never attached' END AS attached,
            CASE WHEN own.shows_attaches AND own.was_attached THEN 'recorded'
                WHEN NOT own.shows_attaches OR own.assumed_attached THEN 'assumed' ELSE 'inferred' END AS evidence,
            CASE WHEN own.shows_attaches AND own.was_attached THEN 'the event of the attach'
                WHEN NOT own.shows_attaches THEN 'the log shows no attach that names device and domain'
                WHEN own.assumed_attached THEN 'it was there before the recording began' ELSE 'the log shows attaches, and none of it' END AS rests_on,
            CASE WHEN NOT own.shows_attaches THEN 'a probe on the driver''s attach_dev with domain and device'
                WHEN own.assumed_attached AND NOT own.was_attached THEN 'begin to record before the device''s driver is bound' END AS record_better
        FROM own
    )
    GROUP BY trace, member, attached, evidence, rests_on, record_better
    UNION ALL
    SELECT trace, 0, 50, 'bytes that unmaps removed', 'as returned', done, 'recorded', 'the tracepoint inside the call, or its return', NULL
    FROM shaped
    WHERE done > 0
    UNION ALL
    SELECT
        trace, 0, 51, 'bytes that unmaps removed', 'as asked for', calls - done, 'assumed', 'the call''s entry alone',
        'event iommu:unmap, or return probes on iommu_unmap and iommu_unmap_fast'
    FROM shaped
    WHERE calls > done
    UNION ALL
    SELECT trace, 0, 55, 'which call unmaps were', 'by name', probed, 'recorded', 'a probe on the function itself', NULL
    FROM shaped
    WHERE probed > 0
    UNION ALL
    SELECT
        trace, 0, 56, 'which call unmaps were', 'iommu_unmap or _fast', calls - probed, 'assumed',
        'the tracepoint is the same for both', 'function probes on iommu_unmap and iommu_unmap_fast'
    FROM shaped
    WHERE calls > probed
    UNION ALL
    SELECT
        trace, 0, 60, 'flushes of the log', flush_layer,
        CASE flush_layer WHEN 'api' THEN api WHEN 'hardware' THEN commands ELSE 0 END,
        CASE flush_layer WHEN 'api' THEN 'recorded' WHEN 'hardware' THEN 'inferred' ELSE 'assumed' END,
        CASE flush_layer WHEN 'api' THEN 'syncs and flush_alls, one each' WHEN 'hardware' THEN 'runs of IOTLB commands'
            ELSE 'the log shows none: recorded has no number' END,
        CASE flush_layer WHEN 'api' THEN NULL ELSE 'probes on the driver''s iotlb_sync and flush_iotlb_all' END
    FROM flushed
    UNION ALL
    SELECT
        id, 0, 70, 'clock', CASE WHEN backwards > 0 THEN 'in order' ELSE 'all in order' END, events - backwards, 'recorded',
        'the stamps of the events', NULL
    FROM wanted
    WHERE events > 0
    UNION ALL
    SELECT
        id, 0, 71, 'clock', 'earlier than the event before', backwards, 'assumed',
        'the order of the lines', 'trace clock mono, and trace-cmd''s recording instead of trace_pipe'
    FROM wanted
    WHERE backwards > 0
    UNION ALL
    SELECT
        wanted.id, 0, 72, 'clock', 'no time in the line', parse_issue_count.count, 'assumed', 'the time of the event before',
        'record with context-info, and send the log whole'
    FROM parse_issue_count
    JOIN wanted ON wanted.id = parse_issue_count.trace
    WHERE parse_issue_count.reason = 'event without time, CPU and task'
    UNION ALL
    SELECT
        wanted.id, 0, 75, 'events', CASE event_count.understood WHEN 1 THEN 'understood' ELSE 'not understood' END,
        sum(event_count.count), CASE event_count.understood WHEN 1 THEN 'recorded' ELSE 'assumed' END,
        CASE event_count.understood WHEN 1 THEN 'names and fields' ELSE 'no number: what they say is not used' END,
        NULL
    FROM event_count
    JOIN wanted ON wanted.id = event_count.trace
    GROUP BY wanted.id, event_count.understood
    UNION ALL
    SELECT
        id, 0, 78, 'lost events', 'overwritten before the log begins', buffer_written - buffer_entries, 'recorded', 'the header', 'a larger buffer_size_kb'
    FROM wanted
    WHERE buffer_written > buffer_entries
    UNION ALL
    SELECT
        wanted.id, 0, 79, 'lost events', 'announced', CAST(total(max(coalesce(lost_events.count, 1), 0)) AS INTEGER), 'recorded',
        'markers in the log; a marker without a number counts one', 'a larger buffer_size_kb'
    FROM lost_events
    JOIN wanted ON wanted.id = lost_events.trace
    GROUP BY wanted.id
    UNION ALL
    SELECT
        wanted.id, 0, 80, 'lost events', 'without a word: ' || what_must_have_happened.what, what_must_have_happened.missing, what_must_have_happened.evidence,
        what_must_have_happened.reason, 'probes behind the functions'' entries, or fprobes; a larger buffer_size_kb'
    FROM what_must_have_happened
    JOIN wanted ON wanted.name = what_must_have_happened.trace
    UNION ALL
    SELECT
        replay.trace, 0, 90, 'flushes of replays', replay.requested || CASE WHEN replay.requested <> replay.policy THEN ' = ' || replay.policy ELSE '' END,
        count(*), replay.evidence,
        CASE replay.evidence WHEN 'recorded' THEN 'the log''s own flushes' WHEN 'inferred' THEN 'counts of the log'
            WHEN 'modelled' THEN 'the model of the policy'
            ELSE CASE WHEN replay.policy = 'per-page' OR replay.policy LIKE '%vfio%' THEN 'the model, and page sizes that no log tells'
                WHEN replay.requested IN ('fast', 'lazy') THEN 'the model, and kinds of domains that the log does not tell'
                ELSE 'the model, and domains of operations that the log does not tell' END END,
        CASE WHEN replay.evidence = 'assumed' THEN
            CASE WHEN replay.policy = 'per-page' OR replay.policy LIKE '%vfio%' THEN 'replay --page-sizes as the hardware has them'
                WHEN replay.requested IN ('fast', 'lazy') THEN 'a return probe on the driver''s domain_alloc, from before the domain is made'
                ELSE 'function probes with domain=$arg1 on __iommu_map, iommu_unmap and iommu_unmap_fast' END END
    FROM replay
    JOIN wanted ON wanted.id = replay.trace
    GROUP BY replay.trace, replay.requested, replay.policy, replay.evidence
    UNION ALL
    SELECT
        replay.trace, 0, 91, 'page sizes of replays', substr(
            replay.options, 12, instr(replay.options || ' ', ' ') - 12),
        count(*), 'assumed', 'no log tells which sizes an IOMMU offers', 'replay --page-sizes, from the driver''s pgsize_bitmap'
    FROM replay
    JOIN wanted ON wanted.id = replay.trace
    WHERE replay.options LIKE 'page-sizes=%'
    GROUP BY 1, 5
    UNION ALL
    SELECT
        replay.trace, 0, 92, 'timers of replays', substr(hz.text, 1, instr(hz.text || ' ', ' ') - 1), count(*), 'modelled',
        'the kernel''s timer wheel at this frequency', 'trace clock mono; replay --hz as in the kernel''s CONFIG_HZ'
    FROM replay
    JOIN wanted ON wanted.id = replay.trace
    JOIN (SELECT id, substr(options, instr(options, 'hz=')) AS text FROM replay WHERE instr(options, 'hz=')) AS hz
        ON hz.id = replay.id
    WHERE replay.policy LIKE '%queue=%'
    GROUP BY 1, 5
    UNION ALL
    SELECT
        replay.trace, 0, 93, 'commands of replays', replay.hardware, count(*), 'modelled',
        'the rules of that driver', 'event qi_submit, and iommu-trace validate'
    FROM replay
    JOIN wanted ON wanted.id = replay.trace
    WHERE replay.hardware IS NOT NULL
    GROUP BY replay.trace, replay.hardware
    UNION ALL
    SELECT
        replay.trace, 0, 94, 'accesses of the simulated IOTLB', replay.accesses, count(*),
        CASE replay.accesses WHEN 'recorded' THEN 'recorded' ELSE 'assumed' END,
        CASE replay.accesses WHEN 'recorded' THEN 'lines iotlb_fill' ELSE 'an assumption on what devices read' END,
        CASE WHEN replay.accesses <> 'recorded' THEN 'lines iotlb_fill from whoever sees the hardware: docs/recording.md' END
    FROM replay
    JOIN wanted ON wanted.id = replay.trace
    WHERE replay.accesses IS NOT NULL
    GROUP BY replay.trace, replay.accesses
    UNION ALL
    SELECT
        NULL, 0, 100, 'cost constants', cost.evidence, count(*),
        'assumed', 'on other machines than the log''s; report constants names the source of each', 'iommu-trace calibrate -o FILE, then report costs --cost FILE'
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
    said.rests_on,
    said.record_better
FROM said
LEFT JOIN wanted ON wanted.id = said.trace
LEFT JOIN domain ON :by = 'domain' AND domain.id = said.member
WHERE coalesce(:by, 'trace') <> 'domain' OR said.member > 0
ORDER BY said.trace IS NULL, said.trace, said.member, said.place, said.count DESC, said.part;
