-- policies recorded
-- The log names no flush of the API, and the commands of CPU 1, which unmaps nothing, name a domain by its id only. The second
-- domain has got the id of the first, which was freed: what comes then is its own, before line 19 shows that too.
SELECT domain.name AS domain, printf('0x%x', iova) AS iova, closed_ns - opened_ns AS length_ns, window_end.name AS ended, closed_line
FROM stale_window
JOIN replay ON replay.id = stale_window.replay AND replay.policy = 'recorded'
JOIN domain ON domain.id = stale_window.domain
JOIN window_end ON window_end.id = stale_window.window_end
ORDER BY opened_ns;
