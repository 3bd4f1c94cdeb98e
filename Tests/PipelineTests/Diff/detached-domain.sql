-- Once its only device has left, a domain's unmaps and flushes still count at the API, but nothing can reach what they
-- remove, and no hardware command follows (design §4 12).
SELECT replay.requested, replay_domain.unmap_calls, detached_calls, replay_domain.pages_unmapped, unreachable_pages,
    replay_domain.flushes, detached_flushes,
    (SELECT count(*) FROM layer WHERE layer.flush IS NOT NULL) AS commands_below_flushes
FROM replay_domain
JOIN replay ON replay.id = replay_domain.replay
ORDER BY replay.id;
