-- What happened? Operations with words for numbers, addresses in hexadecimal and the place in the log.
CREATE VIEW what_happened AS
SELECT
    operation.id,
    trace.name AS trace,
    operation.time_ns,
    operation_kind.name AS kind,
    operation.cpu,
    task.comm || '-' || task.pid AS task,
    domain.name AS domain,
    coalesce(grade.name, CASE WHEN operation.domain IS NOT NULL AND operation.kind IN (1, 2, 3) THEN 'pointer' END) AS grade,
    device.name AS device,
    CASE WHEN operation.iova IS NOT NULL THEN printf('0x%x', operation.iova) END AS iova,
    operation.size,
    operation.result,
    CASE WHEN operation.paddr IS NOT NULL THEN printf('0x%x', operation.paddr) END AS paddr,
    operation.detail,
    marker.text,
    (SELECT place FROM where_in_the_log WHERE trace = trace.id AND line = operation.line) AS place
FROM operation
JOIN trace ON trace.id = operation.trace
JOIN operation_kind ON operation_kind.id = operation.kind
JOIN task ON task.id = operation.task
LEFT JOIN domain ON domain.id = operation.domain
LEFT JOIN grade ON grade.id = operation.grade
LEFT JOIN device ON device.id = operation.device
LEFT JOIN marker ON marker.operation = operation.id;

-- What did drivers and hardware do? Layers, likewise.
CREATE VIEW what_the_hardware_did AS
SELECT
    layer.id,
    trace.name AS trace,
    layer.time_ns,
    layer_kind.name AS kind,
    layer.cpu,
    task.comm || '-' || task.pid AS task,
    CASE WHEN layer.flush IS NOT NULL THEN 'flush' WHEN layer.cause = 2 THEN 'attach' WHEN layer.cause = 3 THEN 'map' END
        AS cause,
    layer.flush,
    domain.name AS domain,
    unit.name AS unit,
    device.name AS device,
    layer.hardware_domain,
    CASE layer.granularity WHEN 1 THEN 'global' WHEN 2 THEN 'domain' WHEN 3 THEN 'page' END AS granularity,
    CASE WHEN layer.address IS NOT NULL THEN printf('0x%x', layer.address) END AS address,
    layer.mask,
    layer.flags & 1 AS hint,
    layer.flags & 2 <> 0 AS starts_run,
    (SELECT place FROM where_in_the_log WHERE trace = trace.id AND line = layer.line) AS place
FROM layer
JOIN trace ON trace.id = layer.trace
JOIN layer_kind ON layer_kind.id = layer.kind
JOIN task ON task.id = layer.task
LEFT JOIN operation ON operation.id = layer.flush
LEFT JOIN domain ON domain.id = coalesce(layer.domain, operation.domain)
LEFT JOIN unit ON unit.id = layer.unit
LEFT JOIN device ON device.id = layer.device;

-- When did each policy flush, what, and why?
CREATE VIEW when_it_flushed AS
SELECT
    trace.name AS trace,
    replay.requested,
    replay_domain.policy,
    flush.time_ns,
    domain.name AS domain,
    flush_cause.name AS cause,
    flush.flushes,
    flush.calls,
    flush.attached,
    flush.operation
FROM flush
JOIN replay ON replay.id = flush.replay
JOIN trace ON trace.id = replay.trace
JOIN domain ON domain.id = flush.domain
JOIN flush_cause ON flush_cause.id = flush.cause
LEFT JOIN replay_domain ON replay_domain.replay = flush.replay AND replay_domain.domain = flush.domain;
