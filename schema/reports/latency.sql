-- How long did the log's own flushes take to come, and how far from that is what each policy predicts?
-- by: trace, domain, device, task
-- needs: replay
-- under: contradictions
-- Parameters: :trace a trace's name, NULL for all; :by 'trace' (the default), 'domain', 'device' or 'task'.
-- Reads the replays' summaries only. The log's own flushes are those of the policy recorded: in a strict domain from the unmap to
-- the last layer of its sync (a descriptor, where the log shows them), in a deferred one the stale windows themselves.
WITH
lengths AS (
    SELECT
        replay.trace, replay.id AS replay, stale.member, replay.first_ns, replay.last_ns, replay.requested,
        coalesce(replay_domain.policy, replay.policy) AS policy,
        coalesce(replay_domain.evidence, replay.evidence) AS evidence, replay.layer, replay.options,
        stale.windows, stale.p50_ns, stale.p90_ns, stale.p99_ns, stale.max_ns
    FROM stale_total AS stale
    JOIN replay ON replay.id = stale.replay
    LEFT JOIN replay_domain ON :by = 'domain' AND replay_domain.replay = stale.replay AND replay_domain.domain = stale.member
    WHERE stale.told_by = coalesce(:by, 'trace')
),
recorded AS (
    -- The same part of the log; where recorded was replayed under several names, once.
    SELECT trace, member, first_ns, last_ns, p50_ns, p90_ns, p99_ns, max_ns
    FROM lengths
    WHERE policy = 'recorded'
    GROUP BY trace, member, first_ns, last_ns
)
SELECT
    trace.name AS trace,
    CASE WHEN :by = 'domain' THEN domain.name END AS domain,
    CASE WHEN :by = 'device' THEN coalesce(device.name, 'unknown') END AS device,
    CASE WHEN :by = 'task' THEN coalesce(task.comm || '-' || task.pid, 'unknown') END AS task,
    lengths.policy,
    lengths.requested,
    CASE WHEN lengths.policy = 'recorded' THEN 'as recorded' ELSE 'predicted' END AS measured,
    lengths.windows,
    CASE WHEN lengths.last_ns > lengths.first_ns THEN round(lengths.windows * 1e9 / (lengths.last_ns - lengths.first_ns), 1) END
        AS windows_per_second,
    lengths.p50_ns,
    lengths.p90_ns,
    lengths.p99_ns,
    lengths.max_ns,
    recorded.p50_ns AS recorded_p50_ns,
    recorded.p90_ns AS recorded_p90_ns,
    recorded.p99_ns AS recorded_p99_ns,
    recorded.max_ns AS recorded_max_ns,
    CASE WHEN recorded.p50_ns > 0 THEN round(100.0 * (lengths.p50_ns - recorded.p50_ns) / recorded.p50_ns, 1) END AS p50_off_percent,
    CASE WHEN recorded.p90_ns > 0 THEN round(100.0 * (lengths.p90_ns - recorded.p90_ns) / recorded.p90_ns, 1) END AS p90_off_percent,
    lengths.p99_ns - recorded.p99_ns AS p99_off_ns,
    lengths.evidence,
    lengths.layer,
    lengths.options
FROM lengths
JOIN trace ON trace.id = lengths.trace
LEFT JOIN recorded ON recorded.trace = lengths.trace AND recorded.member = lengths.member
    AND recorded.first_ns = lengths.first_ns AND recorded.last_ns = lengths.last_ns
LEFT JOIN domain ON :by = 'domain' AND domain.id = lengths.member
LEFT JOIN device ON :by = 'device' AND device.id = lengths.member
LEFT JOIN task ON :by = 'task' AND task.id = lengths.member
WHERE lengths.windows > 0 AND (:trace IS NULL OR trace.name = :trace)
ORDER BY trace.id, lengths.member, lengths.policy <> 'recorded', lengths.replay;
