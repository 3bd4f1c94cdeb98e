-- What was used again while a device could still reach it, and where does the log say so?
-- by: trace, domain, device, task, hazard
-- needs: replay, maps
-- tables leave out: options
-- note by hazard: all that are hazards; of the other kinds the first 1000 of a replay, of same_page_remap and recycled none: by trace all are counted
-- nothing found: no hazard: no replay saw anything used again while a device could still reach it
-- Parameters: :trace a trace's name, NULL for all; :by 'trace' (the default), 'domain', 'device', 'task' or 'hazard' (each one by
-- itself, as far as replays keep them: all with is_hazard 1). Told apart by whose window it was. Sums name their first hazard, and the shortest age of all.
WITH
told AS (
    SELECT
        replay,
        CASE WHEN :by = 'domain' THEN domain WHEN :by = 'device' THEN coalesce(device, 0)
            WHEN :by = 'task' THEN coalesce(task, 0) ELSE 0 END AS member,
        kind, pages, operation, reuse, iova, shortest_age_ns
    FROM hazard_summary
    WHERE coalesce(:by, 'trace') <> 'hazard'
),
counted AS (
    SELECT replay, member, kind, CAST(total(pages) AS INTEGER) AS pages, min(shortest_age_ns) AS age_ns
    FROM told
    GROUP BY replay, member, kind
),
first AS (
    -- The columns beside min(reuse) are those of the row that has it.
    SELECT replay, member, kind, min(reuse) AS reuse, operation, iova
    FROM told
    GROUP BY replay, member, kind
)
SELECT
    trace.name AS trace,
    CASE WHEN :by = 'domain' THEN domain.name END AS domain,
    CASE WHEN :by = 'device' THEN coalesce(device.name, 'unknown') END AS device,
    CASE WHEN :by = 'task' THEN coalesce(task.comm || '-' || task.pid, 'unknown') END AS task,
    coalesce(replay_domain.policy, replay.policy) AS policy,
    replay.requested,
    hazard_kind.name AS kind,
    hazard_kind.is_hazard,
    counted.pages,
    CASE WHEN replay.last_ns > replay.first_ns THEN round(counted.pages * 1e9 / (replay.last_ns - replay.first_ns), 3) END
        AS pages_per_second,
    printf('0x%x', first.iova) AS iova,
    counted.age_ns,
    reused.domain AS reused_in,
    unmapped.place AS unmap_place,
    reused.place AS reuse_place,
    coalesce(replay_domain.evidence, replay.evidence) AS evidence,
    hazard_kind.meaning,
    replay.options
FROM counted
JOIN first USING (replay, member, kind)
JOIN replay ON replay.id = counted.replay
JOIN trace ON trace.id = replay.trace
JOIN hazard_kind ON hazard_kind.id = counted.kind
JOIN what_happened AS unmapped ON unmapped.id = first.operation
JOIN what_happened AS reused ON reused.id = first.reuse
LEFT JOIN domain ON :by = 'domain' AND domain.id = counted.member
LEFT JOIN device ON :by = 'device' AND device.id = counted.member
LEFT JOIN task ON :by = 'task' AND task.id = counted.member
LEFT JOIN replay_domain
    ON :by = 'domain' AND replay_domain.replay = counted.replay AND replay_domain.domain = counted.member
WHERE :trace IS NULL OR trace.name = :trace
UNION ALL
SELECT
    found.trace, found.domain, found.device, found.task, found.policy, found.requested, found.kind, found.is_hazard,
    (found.size + 4095) / 4096, NULL, found.iova, found.age_ns, found.reused_in, found.unmap_place, found.reuse_place, found.evidence,
    hazard_kind.meaning, (SELECT replay.options FROM hazard JOIN replay ON replay.id = hazard.replay WHERE hazard.id = found.id)
FROM what_was_reused_while_stale AS found
JOIN hazard_kind ON hazard_kind.name = found.kind
WHERE :by = 'hazard' AND (:trace IS NULL OR found.trace = :trace);
