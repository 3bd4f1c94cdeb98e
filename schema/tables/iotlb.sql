CREATE TABLE stale_entry_total (
    -- How long entries of a replay's simulated IOTLB were stale, altogether and by domain: from the unmap call that cleared their
    -- page to whatever removed them (design §4 22). Only of replays with --iotlb. Evidence: modelled.
    replay      INTEGER NOT NULL REFERENCES replay ON DELETE CASCADE, -- the replay
    told_by     TEXT NOT NULL,                         -- 'trace', 'domain'
    member      INTEGER NOT NULL,                      -- number of the domain; 0 for the whole trace
    entries     INTEGER NOT NULL,                      -- entries that were there when an unmap call had cleared their page and flushed what it flushes itself
    invalidated INTEGER NOT NULL,                      -- those of them that a command of a flush removed
    made_room   INTEGER NOT NULL,                      -- those that another entry took the place of, or that a full cache's reset removed
    detached    INTEGER NOT NULL,                      -- those that went because no device was left in the domain, or it was freed
    p50_ns      INTEGER,                               -- length that half of the removed ones do not exceed; NULL without any
    p90_ns      INTEGER,                               -- likewise 90 %
    p99_ns      INTEGER,                               -- likewise 99 %
    max_ns      INTEGER,                               -- longest length
    PRIMARY KEY (replay, told_by, member)
) STRICT, WITHOUT ROWID;
