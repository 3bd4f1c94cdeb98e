CREATE TABLE validation (
    -- The model held against what a log recorded: one quantity of one domain. A new validation of a trace replaces the former.
    id                INTEGER PRIMARY KEY,               -- number
    trace             INTEGER NOT NULL REFERENCES trace, -- the log
    domain            INTEGER REFERENCES domain,         -- the domain; NULL for commands that nothing joins to one
    quantity          TEXT NOT NULL,                     -- 'flushes': of the API, against those that the unmaps alone predict; 'descriptors': commands to the hardware, each with all that it says
    basis             TEXT NOT NULL,                     -- what the prediction follows from: a policy, or the log's own flushes
    hardware          TEXT,                              -- the hardware profile of the prediction; NULL if the log shows no command that is understood
    hardware_evidence TEXT NOT NULL,                     -- how the profile is known: 'inferred' from the log's commands, or 'assumed' because it was named
    recorded          INTEGER NOT NULL,                  -- in the log
    predicted         INTEGER NOT NULL,                  -- by the model
    matched           INTEGER NOT NULL,                  -- in both, one for one
    explained         INTEGER NOT NULL,                  -- recorded ones that the log cannot determine, for a reason in validation_reason
    missing           INTEGER NOT NULL,                  -- recorded and not predicted, for no known reason
    extra             INTEGER NOT NULL,                  -- predicted and not recorded
    undetermined      INTEGER NOT NULL,                  -- predictions that the log cannot show, because it ends or events were lost: in no other number
    error_percent     REAL,                              -- what predicted and explained exceed recorded by, in percent of recorded; NULL if nothing was recorded
    distance_p50_ns   INTEGER,                           -- of a flush queue's matches: median distance in time, whatever its sign; otherwise NULL
    distance_p90_ns   INTEGER,                           -- its 90th percentile
    distance_max_ns   INTEGER,                           -- the largest
    note              TEXT NOT NULL                      -- what else there is to say; mostly empty
) STRICT;

CREATE TABLE validation_reason (
    -- Why recorded commands or flushes of a validation cannot be determined by the log.
    validation INTEGER NOT NULL REFERENCES validation ON DELETE CASCADE, -- the validation
    reason     TEXT NOT NULL,                            -- such as 'attach or detach' or 'device removal'
    explained  INTEGER NOT NULL,                         -- how many
    PRIMARY KEY (validation, reason)
) STRICT, WITHOUT ROWID;

CREATE TABLE validation_difference (
    -- The first differences of a validation, in order of the log.
    id         INTEGER PRIMARY KEY,                      -- number
    validation INTEGER NOT NULL REFERENCES validation ON DELETE CASCADE, -- the validation
    line       INTEGER NOT NULL,                         -- line of the log: the recorded one's, or that of the operation that the prediction follows from
    kind       TEXT NOT NULL,                            -- 'missing': recorded and not predicted; 'extra': predicted and not recorded
    text       TEXT NOT NULL                             -- the flush or command
) STRICT;
