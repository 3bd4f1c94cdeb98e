-- What does each replay do how often that takes time? One row for each replay, domain and constant (table cost) that times is to be
-- multiplied with. Counts only: report costs turns them into time. Without a row of part 'flush' the log shows no flushes.
CREATE VIEW what_takes_time AS
WITH
recorded_whole AS (
    -- Flushes of the log that name a whole domain.
    SELECT flush.replay, flush.domain, sum(flush.flushes) AS flushes
    FROM flush
    JOIN flush_cause ON flush_cause.id = flush.cause
    WHERE flush_cause.name = 'flush_all' AND flush.attached
    GROUP BY flush.replay, flush.domain
),
counted AS (
    SELECT
        replay_domain.replay,
        replay_domain.domain,
        replay_domain.unmap_calls,
        replay_domain.pages_unmapped,
        -- Nothing is sent for a domain without devices (design §4 12).
        replay_domain.flushes - coalesce(replay_domain.detached_flushes, 0) AS flushes,
        CASE
            WHEN replay_domain.policy LIKE 'queue=%' OR replay_domain.policy LIKE 'single-queue=%' OR replay_domain.policy = 'end'
                THEN replay_domain.flushes - coalesce(replay_domain.detached_flushes, 0)
            WHEN replay_domain.policy = 'recorded' THEN coalesce(recorded_whole.flushes, 0)
            ELSE 0
        END AS whole_flushes,
        -- Which unmaps leave an entry in a flush queue; in the log those of a DMA domain that defers.
        replay_domain.policy LIKE 'queue=%' OR replay_domain.policy LIKE 'single-queue=%'
            OR replay_domain.policy = 'recorded' AND domain.kind = 'dma' AND domain.mode = 'deferred' AS is_queued,
        replay_domain.commands,
        replay_domain.domain_commands,
        replay_domain.waits,
        CASE
            WHEN replay.hardware LIKE 'vtd-%' THEN 'sync.vtd'
            WHEN replay.hardware LIKE 'amd-%' THEN 'sync.amd'
            WHEN replay.hardware LIKE 'smmuv3%' THEN 'sync.smmuv3'
            ELSE 'sync'
        END AS sync
    FROM replay_domain
    JOIN replay ON replay.id = replay_domain.replay
    JOIN domain ON domain.id = replay_domain.domain
    LEFT JOIN recorded_whole
        ON recorded_whole.replay = replay_domain.replay AND recorded_whole.domain = replay_domain.domain
)
SELECT replay, domain, 'page table' AS part, 'unmap_base' AS constant, unmap_calls AS times, unmap_calls AS fewest_times
FROM counted
UNION ALL
-- A page is taken for an entry. A superpage is one entry for many, so that there may be none beside the first of each call.
SELECT replay, domain, 'page table', 'unmap_pte', max(pages_unmapped - unmap_calls, 0), 0
FROM counted
UNION ALL
SELECT replay, domain, 'queue', 'queue_entry', unmap_calls, unmap_calls
FROM counted
WHERE is_queued
UNION ALL
-- Without a hardware profile each flush is one submission.
SELECT replay, domain, 'flush', 'sync', max(flushes - whole_flushes, 0), max(flushes - whole_flushes, 0)
FROM counted
WHERE flushes IS NOT NULL AND commands IS NULL
UNION ALL
SELECT replay, domain, 'flush', 'flush_all', whole_flushes, whole_flushes
FROM counted
WHERE flushes IS NOT NULL AND commands IS NULL
UNION ALL
-- With one, each wait ends a submission; a command that names a whole domain is one by itself.
SELECT replay, domain, 'flush', sync, max(waits - domain_commands, 0), max(waits - domain_commands, 0)
FROM counted
WHERE commands IS NOT NULL
UNION ALL
SELECT replay, domain, 'flush', 'flush_all', domain_commands, domain_commands
FROM counted
WHERE commands IS NOT NULL
UNION ALL
SELECT
    replay, domain, 'flush', 'command', max(commands - max(waits, domain_commands), 0),
    max(commands - max(waits, domain_commands), 0)
FROM counted
WHERE commands IS NOT NULL;
