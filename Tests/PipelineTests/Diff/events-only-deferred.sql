-- Tracepoints and descriptors of a deferring kernel: each run of domain-selective commands, one for each unit, is one
-- flush, and fast is what was recorded, counted where it was recorded.
SELECT domain.mode, replay.requested, replay.policy, replay.layer, replay.unmap_calls, replay.flushes,
    replay.flushes_pending, replay.evidence, (SELECT count(*) FROM layer) AS commands
FROM replay, domain
WHERE domain.mode_reason <> 'no unmaps'
ORDER BY replay.id;
