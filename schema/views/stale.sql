-- Which translations were stale, from when to when, and where does the log say so? One row for each window kept.
CREATE VIEW what_was_stale AS
SELECT
    stale_window.id,
    trace.name AS trace,
    replay.requested,
    replay_domain.policy,
    domain.name AS domain,
    device.name AS device,
    task.comm || '-' || task.pid AS task,
    CASE WHEN mapper.id IS NOT NULL THEN mapper.comm || '-' || mapper.pid END AS mapped_by,
    printf('0x%x', stale_window.iova) AS iova,
    stale_window.size,
    map.time_ns AS mapped_ns,
    stale_window.opened_ns,
    stale_window.closed_ns,
    stale_window.closed_ns - stale_window.opened_ns AS length_ns,
    window_end.name AS ended,
    stale_window.uncertain,
    (SELECT place FROM what_happened WHERE what_happened.id = stale_window.map) AS map_place,
    (SELECT place FROM where_in_the_log WHERE trace = trace.id AND line = operation.line) AS unmap_place,
    (SELECT place FROM where_in_the_log WHERE trace = trace.id AND line = stale_window.closed_line) AS closed_place,
    replay_domain.evidence
FROM stale_window
JOIN replay ON replay.id = stale_window.replay
JOIN trace ON trace.id = replay.trace
JOIN domain ON domain.id = stale_window.domain
JOIN window_end ON window_end.id = stale_window.window_end
JOIN operation ON operation.id = stale_window.operation
JOIN task ON task.id = operation.task
LEFT JOIN operation AS map ON map.id = stale_window.map
LEFT JOIN task AS mapper ON mapper.id = map.task
LEFT JOIN device ON device.id = stale_window.device
LEFT JOIN replay_domain ON replay_domain.replay = stale_window.replay AND replay_domain.domain = stale_window.domain;

-- What was used again while it was stale, by whom, and where does the log say so? One row for each hazard kept.
CREATE VIEW what_was_reused_while_stale AS
SELECT
    hazard.id,
    trace.name AS trace,
    replay.requested,
    replay_domain.policy,
    hazard_kind.name AS kind,
    hazard_kind.is_hazard,
    domain.name AS domain,
    device.name AS device,
    unmapper.comm || '-' || unmapper.pid AS task,
    reuser_domain.name AS reused_in,
    reuser.comm || '-' || reuser.pid AS reused_by,
    printf('0x%x', hazard.iova) AS iova,
    hazard.size,
    hazard.age_ns,
    (SELECT place FROM where_in_the_log WHERE trace = trace.id AND line = operation.line) AS unmap_place,
    (SELECT place FROM where_in_the_log WHERE trace = trace.id AND line = reuse.line) AS reuse_place,
    replay_domain.evidence
FROM hazard
JOIN replay ON replay.id = hazard.replay
JOIN trace ON trace.id = replay.trace
JOIN hazard_kind ON hazard_kind.id = hazard.kind
JOIN domain ON domain.id = hazard.domain
JOIN operation ON operation.id = hazard.operation
JOIN task AS unmapper ON unmapper.id = operation.task
JOIN operation AS reuse ON reuse.id = hazard.reuse
JOIN task AS reuser ON reuser.id = reuse.task
LEFT JOIN domain AS reuser_domain ON reuser_domain.id = reuse.domain
LEFT JOIN device ON device.id = hazard.device
LEFT JOIN replay_domain ON replay_domain.replay = hazard.replay AND replay_domain.domain = hazard.domain;
