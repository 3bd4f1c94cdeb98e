-- What does each replay do how often that takes time, and in whose calls? One row for each replay, domain, device, task (as in
-- flush_summary) and constant (table cost) that times is to be multiplied with. Counts only: report costs turns them into time. Without
-- a row of part 'flush' the log shows no flushes.
CREATE VIEW what_takes_time AS
WITH
counted AS (
    SELECT
        own.replay,
        own.domain,
        own.device,
        own.task,
        own.unmap_calls,
        own.further_pages,
        -- Nothing is sent for a domain without devices (design §4 12).
        own.flushes - own.detached_flushes AS flushes,
        own.domain_flushes,
        -- Which unmaps leave an entry in a flush queue; in the log those of a DMA domain that defers.
        replay_domain.policy LIKE 'queue=%' OR replay_domain.policy LIKE 'single-queue=%'
            OR replay_domain.policy = 'recorded' AND domain.kind = 'dma' AND domain.mode = 'deferred' AS is_queued,
        own.commands,
        own.domain_commands,
        own.further_commands,
        own.waits,
        CASE
            WHEN replay.hardware LIKE 'vtd-%' THEN 'sync.vtd'
            WHEN replay.hardware LIKE 'amd-%' THEN 'sync.amd'
            WHEN replay.hardware LIKE 'smmuv3%' THEN 'sync.smmuv3'
            ELSE 'sync'
        END AS sync
    FROM flush_summary AS own
    JOIN replay ON replay.id = own.replay
    JOIN replay_domain ON replay_domain.replay = own.replay AND replay_domain.domain = own.domain
    JOIN domain ON domain.id = own.domain
)
SELECT
    replay, domain, device, task, 'page table' AS part, 'unmap_base' AS constant, unmap_calls AS times, unmap_calls AS fewest_times
FROM counted
UNION ALL
-- A page is taken for an entry. A superpage is one entry for many, so that there may be none beside the first of each call.
SELECT replay, domain, device, task, 'page table', 'unmap_pte', further_pages, 0
FROM counted
UNION ALL
SELECT replay, domain, device, task, 'queue', 'queue_entry', unmap_calls, unmap_calls
FROM counted
WHERE is_queued
UNION ALL
-- Without a hardware profile each flush is one submission.
SELECT replay, domain, device, task, 'flush', 'sync', flushes - domain_flushes, flushes - domain_flushes
FROM counted
WHERE flushes IS NOT NULL AND commands IS NULL
UNION ALL
SELECT replay, domain, device, task, 'flush', 'flush_all', domain_flushes, domain_flushes
FROM counted
WHERE flushes IS NOT NULL AND commands IS NULL
UNION ALL
-- With one, each wait ends a submission; a command that names a whole domain is one by itself.
SELECT replay, domain, device, task, 'flush', sync, max(waits - domain_commands, 0), max(waits - domain_commands, 0)
FROM counted
WHERE commands IS NOT NULL
UNION ALL
SELECT replay, domain, device, task, 'flush', 'flush_all', domain_commands, domain_commands
FROM counted
WHERE commands IS NOT NULL
UNION ALL
SELECT replay, domain, device, task, 'flush', 'command', further_commands, further_commands
FROM counted
WHERE commands IS NOT NULL;
