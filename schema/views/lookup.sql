-- Where in the logs is a line of a trace: in which file, and which line of it? For one line at a time, in a subquery:
-- (SELECT place FROM where_in_the_log WHERE trace = operation.trace AND line = operation.line). Without line = … it has no rows, nor
-- behind a LEFT JOIN.
CREATE VIEW where_in_the_log AS
SELECT
    -- A view takes no parameters, but json_each does, in a column that it does not show: a number is a JSON text of one value, so that the
    -- line asked for is its only row.
    trace.id AS trace,
    line.json AS line,
    coalesce(
        (
            -- A log of several files is numbered through, piece by piece.
            SELECT log_part.source || ':' || (log_piece.part_line + line.json - log_piece.line)
            FROM log_piece
            JOIN log_part ON log_part.id = log_piece.part
            WHERE log_piece.trace = trace.id AND log_piece.line <= CAST(line.json AS INTEGER)
            ORDER BY log_piece.line DESC
            LIMIT 1
        ),
        trace.source || ':' || line.json
    ) AS place
FROM json_each AS line
CROSS JOIN trace;

-- Which flush of the log was the first to cover a page that an unmap call removed? A sync or flush_all of its domain after it, or a sync of
-- its CPU and task within the call (design §4 10). For one call and page (iova >> 12) at a time, in a subquery as where_in_the_log;
-- flush is NULL if none of the 20,000 operations after the call is one. There is no row in a log without flushes of the API.
CREATE VIEW which_flush_covered AS
SELECT
    unmap.id AS operation,
    page.json AS page,
    (
        SELECT flush.id
        FROM operation AS flush
        WHERE flush.id BETWEEN CASE
                WHEN unmap.since_entry_ns IS NULL THEN unmap.id
                ELSE coalesce(
                    (
                        -- The last operation from before the call's entry. Lines of other CPUs may stand out of order, by less than 1 ms.
                        SELECT earlier.id
                        FROM operation AS earlier
                        WHERE earlier.id BETWEEN trace.first_operation AND unmap.id - 1
                            AND (
                                earlier.cpu = unmap.cpu AND earlier.time_ns < unmap.time_ns - unmap.since_entry_ns
                                OR earlier.time_ns < unmap.time_ns - unmap.since_entry_ns - 1000000
                            )
                        ORDER BY earlier.id DESC
                        LIMIT 1
                    ),
                    trace.first_operation
                )
            END AND min(unmap.id + 20000, trace.first_operation + trace.operations - 1)
            AND flush.kind IN (4, 5) AND flush.domain = unmap.domain
            AND (
                flush.id > unmap.id
                OR flush.kind = 4 AND flush.cpu = unmap.cpu AND flush.task = unmap.task
                AND flush.time_ns >= unmap.time_ns - unmap.since_entry_ns
            )
            -- A sync without a recorded range is one of the whole domain, one of an empty gather covers nothing.
            AND (
                flush.kind = 5 OR flush.size IS NULL
                OR flush.size > 0 AND (page.json & 4503599627370495) - (flush.iova >> 12 & 4503599627370495)
                    BETWEEN 0 AND (flush.iova & 4095) + flush.size - 1 >> 12
            )
        ORDER BY flush.id
        LIMIT 1
    ) AS flush
FROM json_each AS page
CROSS JOIN operation AS unmap
JOIN trace ON trace.id = unmap.trace AND trace.flush_layer = 'api'
WHERE unmap.kind IN (2, 3);

-- In which domain is a device, where the log names one only: the one that it was attached to, or the one that is named after it?
CREATE VIEW where_a_device_is AS
SELECT
    device.id AS device,
    coalesce(attached.domain, named.domain) AS domain,
    CASE WHEN attached.domain IS NOT NULL THEN 'attached' ELSE 'named' END AS known_by
FROM device
LEFT JOIN (
    SELECT device, CASE WHEN count(*) = 1 THEN min(domain) END AS domain FROM attachment GROUP BY device
) AS attached ON attached.device = device.id
LEFT JOIN (
    SELECT device.id AS device, min(domain.id) AS domain
    FROM device
    JOIN domain ON domain.name = device.name AND domain.trace = device.trace
    GROUP BY device.id
) AS named ON named.device = device.id
WHERE coalesce(attached.domain, named.domain) IS NOT NULL;
