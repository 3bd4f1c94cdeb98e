-- A DMA domain of today in strict mode calls unmap_fast and then syncs: the word in the log says nothing, the events do.
-- fast takes the flush queue, as of a DMA domain; its timer would fire after the end of the log.
SELECT domain.mode, domain.mode_reason, replay.requested, replay_domain.policy, replay_domain.unmap_calls,
    replay_domain.flushes, calls_pending, replay_domain.flushes_pending, replay_domain.evidence
FROM replay_domain
JOIN replay ON replay.id = replay_domain.replay
JOIN domain ON domain.id = replay_domain.domain
ORDER BY replay.id;
