-- A log of tracepoints and descriptors only: no domain is named, and the runs of descriptors are its flushes, at the
-- layer hardware. Each covers the unmap before it, so the kernel was strict.
SELECT domain.name AS domain, domain.evidence AS known, domain.mode, replay.requested, replay.policy, replay.layer,
    replay.unmap_calls, replay.flushes, replay.evidence
FROM replay, domain
ORDER BY replay.id;
