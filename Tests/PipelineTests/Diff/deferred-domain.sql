-- A flush queue's timer and its full ring cause a flush_all each; their events precede it, its descriptor follows.
-- fast is then what was recorded: the last call waits for a flush that the log does not have.
SELECT flush_all.time_ns, CASE flush_all.detail WHEN 1 THEN 'timer' WHEN 2 THEN 'ring full' END AS cause,
    (SELECT group_concat(layer_kind.name, ' ') FROM layer JOIN layer_kind ON layer_kind.id = layer.kind
     WHERE layer.flush = flush_all.id) AS layers,
    flush.calls, domain.mode, domain.kind, replay_domain.policy, replay_domain.flushes, replay_domain.calls_pending,
    replay_domain.flushes_pending
FROM operation AS flush_all
JOIN operation_kind ON operation_kind.id = flush_all.kind AND operation_kind.name = 'flush_all'
JOIN domain ON domain.id = flush_all.domain
JOIN replay ON replay.requested = 'fast'
JOIN replay_domain ON replay_domain.replay = replay.id AND replay_domain.domain = domain.id
JOIN flush ON flush.replay = replay.id AND flush.operation = flush_all.id
ORDER BY flush_all.id;
