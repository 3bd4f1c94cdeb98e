-- A log of tracepoints and descriptors only: no domain is named, but each descriptor tells the hardware's id of
-- the unmap before it, which it covers: the kernel was strict. Runs of descriptors are its flushes, at the layer hardware.
SELECT domain.name AS domain, domain.evidence AS known, domain.mode, replay.requested, replay.policy, replay.layer,
    replay.unmap_calls, replay.flushes, replay.evidence
FROM replay, domain
WHERE domain.name <> 'unresolved'
ORDER BY replay.id;
