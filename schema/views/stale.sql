-- How much was stale? What the stale windows of a replay amount to, told_by says what rows are told
-- apart by, member is the number of that domain, device or task, 0 for the whole trace and for what the log does not tell.
CREATE VIEW how_much_was_stale AS
WITH part(told_by) AS (VALUES ('trace'), ('domain'), ('device'), ('task')),
told AS (
    SELECT
        part.told_by, window_summary.replay,
        CASE part.told_by WHEN 'domain' THEN domain WHEN 'device' THEN coalesce(device, 0) WHEN 'task' THEN coalesce(task, 0)
            ELSE 0 END AS member,
        window_end.name AS ended, uncertain, windows, pages, page_seconds, max_ns
    FROM part
    CROSS JOIN window_summary
    JOIN window_end ON window_end.id = window_summary.window_end
),
sorted AS (
    SELECT *, CASE WHEN ended = 'unreachable' THEN ended WHEN uncertain THEN 'uncertain' WHEN ended = 'end of log' THEN 'censored'
        ELSE 'closed' END AS sort
    FROM told
)
SELECT
    told_by, replay, member,
    coalesce(sum(windows) FILTER (WHERE sort = 'closed'), 0) AS windows,
    coalesce(sum(windows) FILTER (WHERE sort = 'censored'), 0) AS censored,
    coalesce(sum(windows) FILTER (WHERE sort = 'uncertain'), 0) AS uncertain,
    CAST(total(pages) FILTER (WHERE sort = 'unreachable') AS INTEGER) AS unreachable_pages,
    CAST(total(pages) FILTER (WHERE sort = 'closed') AS INTEGER) AS pages,
    max(max_ns) FILTER (WHERE sort = 'closed') AS max_ns,
    total(page_seconds) FILTER (WHERE sort = 'closed') AS exposure_page_seconds,
    total(page_seconds) FILTER (WHERE sort = 'censored') AS censored_page_seconds
FROM sorted
GROUP BY told_by, replay, member;

-- How long were windows open? Percentiles by nearest rank over the buckets of window_histogram, by member as above. A bucket's
-- upper bound may exceed the longest window: what shows a percentile takes the smaller of the two.
CREATE VIEW how_long_windows_were_open AS
WITH part(told_by) AS (VALUES ('trace'), ('domain'), ('device'), ('task')),
bucket AS (
    SELECT
        part.told_by, window_summary.replay,
        CASE part.told_by WHEN 'domain' THEN domain WHEN 'device' THEN coalesce(device, 0) WHEN 'task' THEN coalesce(task, 0)
            ELSE 0 END AS member,
        up_to_ns, sum(window_histogram.windows) AS windows, total(window_histogram.pages) AS pages
    FROM part
    CROSS JOIN window_summary
    JOIN window_histogram ON window_histogram.summary = window_summary.id
    GROUP BY 1, 2, 3, 4
),
running AS (
    SELECT
        told_by, replay, member, up_to_ns,
        100 * sum(windows) OVER upto AS windows_upto, sum(windows) OVER whole AS windows,
        100 * total(pages) OVER upto AS pages_upto, total(pages) OVER whole AS pages
    FROM bucket
    WINDOW whole AS (PARTITION BY told_by, replay, member), upto AS (PARTITION BY told_by, replay, member ORDER BY up_to_ns)
)
SELECT
    told_by, replay, member,
    min(up_to_ns) FILTER (WHERE windows_upto >= 50 * windows) AS p50_ns,
    min(up_to_ns) FILTER (WHERE windows_upto >= 90 * windows) AS p90_ns,
    min(up_to_ns) FILTER (WHERE windows_upto >= 99 * windows) AS p99_ns,
    min(up_to_ns) FILTER (WHERE pages_upto >= 50 * pages) AS page_p50_ns,
    min(up_to_ns) FILTER (WHERE pages_upto >= 99 * pages) AS page_p99_ns
FROM running
GROUP BY told_by, replay, member;

-- Which translations were stale, from when to when, and where does the log say so? One row for each window kept.
CREATE VIEW what_was_stale AS
SELECT
    stale_window.id,
    trace.name AS trace,
    replay.requested,
    replay_domain.policy,
    domain.name AS domain,
    device.name AS device,
    task.comm || '-' || task.pid AS task,
    printf('0x%x', stale_window.iova) AS iova,
    stale_window.size,
    stale_window.opened_ns,
    stale_window.closed_ns,
    stale_window.closed_ns - stale_window.opened_ns AS length_ns,
    window_end.name AS ended,
    stale_window.uncertain,
    trace.source || ':' || operation.line AS unmap_place,
    trace.source || ':' || stale_window.closed_line AS closed_place,
    replay_domain.evidence
FROM stale_window
JOIN replay ON replay.id = stale_window.replay
JOIN trace ON trace.id = replay.trace
JOIN domain ON domain.id = stale_window.domain
JOIN window_end ON window_end.id = stale_window.window_end
JOIN operation ON operation.id = stale_window.operation
JOIN task ON task.id = operation.task
LEFT JOIN device ON device.id = stale_window.device
LEFT JOIN replay_domain ON replay_domain.replay = stale_window.replay AND replay_domain.domain = stale_window.domain;

-- What was used again while it was stale, by whom, and where does the log say so? One row for each hazard kept.
CREATE VIEW what_was_reused_while_stale AS
SELECT
    hazard.id,
    trace.name AS trace,
    replay.requested,
    replay_domain.policy,
    hazard_kind.name AS kind,
    hazard_kind.is_hazard,
    domain.name AS domain,
    device.name AS device,
    unmapper.comm || '-' || unmapper.pid AS task,
    reuser_domain.name AS reused_in,
    reuser.comm || '-' || reuser.pid AS reused_by,
    printf('0x%x', hazard.iova) AS iova,
    hazard.size,
    hazard.age_ns,
    trace.source || ':' || operation.line AS unmap_place,
    trace.source || ':' || reuse.line AS reuse_place,
    replay_domain.evidence
FROM hazard
JOIN replay ON replay.id = hazard.replay
JOIN trace ON trace.id = replay.trace
JOIN hazard_kind ON hazard_kind.id = hazard.kind
JOIN domain ON domain.id = hazard.domain
JOIN operation ON operation.id = hazard.operation
JOIN task AS unmapper ON unmapper.id = operation.task
JOIN operation AS reuse ON reuse.id = hazard.reuse
JOIN task AS reuser ON reuser.id = reuse.task
LEFT JOIN domain AS reuser_domain ON reuser_domain.id = reuse.domain
LEFT JOIN device ON device.id = hazard.device
LEFT JOIN replay_domain ON replay_domain.replay = hazard.replay AND replay_domain.domain = hazard.domain;
