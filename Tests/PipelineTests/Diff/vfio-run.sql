-- An unmanaged domain that synced each unmap: fast is VFIO's schedule. The two calls of its attach probe are known to be
-- iommu_unmap and flush for themselves; the four pages gather into one sync; the huge page has a callback of another
-- length and a gap before it: one more.
SELECT replay.requested, replay_domain.policy, replay_domain.reason, replay_domain.unmap_calls, attach_probe_calls,
    replay_domain.pages_unmapped, replay_domain.flushes, replay_domain.evidence
FROM replay_domain
JOIN replay ON replay.id = replay_domain.replay
ORDER BY replay.id;
