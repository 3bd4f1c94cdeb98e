CREATE TABLE window_end (
    -- The words for how a stale window ends, or why there is none: window_summary.window_end, stale_window.window_end.
    id   INTEGER PRIMARY KEY,                          -- value of window_end
    name TEXT NOT NULL                                 -- the flush's cause, 'detach', 'end of log' (censored), 'unreachable'
) STRICT;

CREATE TABLE window_summary (
    -- What the stale windows of a replay amount to (design §4 10-12, 15), for each domain, device, task and end. Sums over any
    -- of these are sums of the rows.
    id           INTEGER PRIMARY KEY,                  -- number over all replays
    replay       INTEGER NOT NULL REFERENCES replay ON DELETE CASCADE, -- the replay
    domain       INTEGER NOT NULL REFERENCES domain,   -- the domain unmapped in
    device       INTEGER REFERENCES device,            -- the device that could reach it; NULL if the log does not show it, or shows several
    task         INTEGER REFERENCES task,              -- the task that unmapped; NULL where a log names too many to be told apart
    window_end   INTEGER NOT NULL REFERENCES window_end, -- how they ended
    uncertain    INTEGER NOT NULL,                     -- 1 if events were lost while they were open
    windows      INTEGER NOT NULL,                     -- how many; for 'unreachable' unmap calls, which opened none
    pages        INTEGER NOT NULL,                     -- 4096-byte pages in them
    page_seconds REAL NOT NULL,                        -- sum of pages x length (exposure); 0 for 'unreachable'
    max_ns       INTEGER                               -- longest; NULL for 'unreachable'
) STRICT;

CREATE TABLE window_histogram (
    -- Lengths of closed windows, certain ones only: buckets of less than 0.8 % of the length (design §4 16).
    summary  INTEGER NOT NULL REFERENCES window_summary ON DELETE CASCADE, -- whose
    up_to_ns INTEGER NOT NULL,                         -- the longest length that falls into this bucket
    windows  INTEGER NOT NULL,                         -- how many
    pages    INTEGER NOT NULL,                         -- 4096-byte pages in them
    PRIMARY KEY (summary, up_to_ns)
) STRICT, WITHOUT ROWID;

CREATE TABLE stale_total (
    -- What was stale in a replay altogether, and by domain, device and task (design §4 10-12, 15, 16): what can be summed up from
    -- window_summary and window_histogram, and peaks, which cannot.
    replay                INTEGER NOT NULL REFERENCES replay ON DELETE CASCADE, -- the replay
    told_by               TEXT NOT NULL,               -- 'trace', 'domain', 'device', 'task'
    member                INTEGER NOT NULL,            -- number of the domain, device or task; 0 for the whole trace and for what the log does not tell
    windows               INTEGER NOT NULL,            -- closed windows
    censored              INTEGER NOT NULL,            -- windows open at the end of the log
    uncertain             INTEGER NOT NULL,            -- windows in which events were lost
    unreachable_pages     INTEGER NOT NULL,            -- 4096-byte pages unmapped while no device was attached: no window
    p50_ns                INTEGER,                     -- length that half of the closed windows do not exceed; NULL without any
    p90_ns                INTEGER,                     -- likewise 90 %
    p99_ns                INTEGER,                     -- likewise 99 %
    max_ns                INTEGER,                     -- length of the longest closed window
    page_p50_ns           INTEGER,                     -- length that half of the pages in closed windows do not exceed
    page_p99_ns           INTEGER,                     -- likewise 99 %
    exposure_page_seconds REAL NOT NULL,               -- pages x length of closed windows
    censored_page_seconds REAL NOT NULL,               -- pages x length so far of censored windows
    peak_stale_pages      INTEGER NOT NULL,            -- most 4096-byte pages in open windows at one time
    PRIMARY KEY (replay, told_by, member)
) STRICT, WITHOUT ROWID;

CREATE TABLE stale_window (
    -- Stale windows one by one, as many as --windows asked for: all, the longest or none (replay.windows_left_out says how many more).
    id          INTEGER PRIMARY KEY,                   -- number over all replays; where only the longest are kept, longest first
    replay      INTEGER NOT NULL REFERENCES replay ON DELETE CASCADE, -- the replay
    operation   INTEGER NOT NULL REFERENCES operation, -- the unmap call that left it
    map         INTEGER REFERENCES operation,          -- the map call of the first page that it removed; NULL if the log does not show it
    domain      INTEGER NOT NULL REFERENCES domain,    -- the domain unmapped in
    device      INTEGER REFERENCES device,             -- the device that could reach it; NULL if the log does not show it, or shows several
    iova        INTEGER NOT NULL,                      -- first byte, by bit pattern
    size        INTEGER NOT NULL,                      -- bytes
    opened_ns   INTEGER NOT NULL,                      -- t0, trace clock
    closed_ns   INTEGER,                               -- t1, trace clock; NULL if it is open at the end of the log
    window_end  INTEGER NOT NULL REFERENCES window_end, -- what closed it
    closed_line INTEGER,                               -- line of the flush or detach that closed it, whose last layer, at closed_ns, may be a later line; NULL for timers, which no line shows
    uncertain   INTEGER NOT NULL                       -- 1 if events were lost while it was open
) STRICT;

CREATE TABLE hazard_kind (
    -- The words for hazard.kind and hazard_summary.kind (design §4 13).
    id        INTEGER PRIMARY KEY,                     -- value of kind
    name      TEXT NOT NULL,                           -- the word
    is_hazard INTEGER NOT NULL,                        -- 1 if it is somebody's exposure; 0 for what only looks like it
    meaning   TEXT NOT NULL                            -- in a sentence
) STRICT;

CREATE TABLE hazard_summary (
    -- What happened inside stale windows (design §4 13), counted for the domain, device and task of the unmap that left the window.
    replay INTEGER NOT NULL REFERENCES replay ON DELETE CASCADE, -- the replay
    domain INTEGER NOT NULL REFERENCES domain,         -- the domain of the window
    device INTEGER REFERENCES device,                  -- the device that could reach it; NULL if the log does not show it, or shows several
    task   INTEGER REFERENCES task,                    -- the task that had unmapped
    kind   INTEGER NOT NULL REFERENCES hazard_kind,    -- what happened
    pages  INTEGER NOT NULL,                           -- 4096-byte pages; for 'access' faults and accesses
    operation INTEGER NOT NULL REFERENCES operation,   -- of the first time: the unmap call that left the window
    reuse  INTEGER NOT NULL REFERENCES operation,      -- of the first time: the map that used the address or the page again, or the fault
    iova   INTEGER NOT NULL,                           -- of the first time: the stale address, by bit pattern
    shortest_age_ns INTEGER NOT NULL                   -- shortest time from an unmap to the reuse, of all
) STRICT;

CREATE TABLE hazard (
    -- Hazards one by one: all that are somebody's exposure, and of the other kinds but same_page_remap and recycled the first
    -- 1000 of a replay each.
    id        INTEGER PRIMARY KEY,                     -- number over all replays
    replay    INTEGER NOT NULL REFERENCES replay ON DELETE CASCADE, -- the replay
    kind      INTEGER NOT NULL REFERENCES hazard_kind, -- what happened
    operation INTEGER NOT NULL REFERENCES operation,   -- the unmap call that left the window
    reuse     INTEGER NOT NULL REFERENCES operation,   -- the map that used the address or the page again, or the fault
    domain    INTEGER NOT NULL REFERENCES domain,      -- the domain of the window
    device    INTEGER REFERENCES device,               -- the device that could reach it; NULL if the log does not show it, or shows several
    iova      INTEGER NOT NULL,                        -- the stale address, first byte, by bit pattern
    size      INTEGER NOT NULL,                        -- bytes
    age_ns    INTEGER NOT NULL                         -- from the unmap to the reuse
) STRICT;

CREATE TABLE timeline (
    -- A replay in equal steps of time (replay.step_ns), for each domain, device and task; steps in which nothing is or happens
    -- are missing.
    replay       INTEGER NOT NULL REFERENCES replay ON DELETE CASCADE, -- the replay
    domain       INTEGER NOT NULL REFERENCES domain,   -- the domain
    device       INTEGER REFERENCES device,            -- the device that could reach it; NULL if the log does not show it, or shows several
    task         INTEGER REFERENCES task,              -- the task that unmapped, or at whose call a flush happened; NULL for timers
    start_ns     INTEGER NOT NULL,                     -- begin of the step, trace clock
    page_ns      INTEGER NOT NULL,                     -- stale pages x time within the step; divided by replay.step_ns: how many on average
    windows      INTEGER NOT NULL,                     -- stale windows opened in the step
    pages        INTEGER NOT NULL,                     -- 4096-byte pages in those
    flushes      INTEGER NOT NULL                      -- flushes of the policy in the step
) STRICT;
