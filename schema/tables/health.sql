CREATE TABLE event_count (
    -- How often each event occurs in a log, understood or not.
    trace      INTEGER NOT NULL REFERENCES trace, -- the log
    name       TEXT NOT NULL,                     -- name of the event
    form       TEXT NOT NULL,                     -- 'tracepoint', 'probe', 'return'
    understood INTEGER NOT NULL,                  -- 1 if operations, layers or devices were read from it
    count      INTEGER NOT NULL,                  -- how often
    PRIMARY KEY (trace, name, form, understood)
) STRICT, WITHOUT ROWID;

CREATE TABLE kind_count (
    -- How many rows of each kind and shape a log has in operation and layer.
    trace INTEGER NOT NULL REFERENCES trace, -- the log
    stage TEXT NOT NULL,                     -- 'operation' or 'layer'
    kind  INTEGER NOT NULL,                  -- operation.kind or layer.kind
    shape INTEGER NOT NULL,                  -- of an operation its flags; of a layer why it was, 0 not known, 1 a flush, 2 an attach or detach, 3 a map, plus 4 times its granularity
    count INTEGER NOT NULL,                  -- how many
    PRIMARY KEY (trace, stage, kind, shape)
) STRICT, WITHOUT ROWID;

CREATE TABLE parse_issue (
    -- A line, or a place in the file, that could not be taken as it stands. At most 10,000 of one reason; parse_issue_count has all.
    id          INTEGER PRIMARY KEY,               -- number over all traces
    trace       INTEGER NOT NULL REFERENCES trace, -- the log
    line        INTEGER NOT NULL,                  -- line of the log, from 1; for an archive's damage the last line before it
    byte_offset INTEGER NOT NULL,                  -- where: of the line in the decompressed log, for an archive's damage in the file
    reason      TEXT NOT NULL,                     -- why
    excerpt     TEXT NOT NULL                      -- the first 160 bytes of the line, or what is known of the damage
) STRICT;

CREATE TABLE parse_issue_count (
    -- How many issues of each reason a log has.
    trace  INTEGER NOT NULL REFERENCES trace, -- the log
    reason TEXT NOT NULL,                     -- as in parse_issue
    count  INTEGER NOT NULL,                  -- how many
    PRIMARY KEY (trace, reason)
) STRICT, WITHOUT ROWID;

CREATE TABLE lost_events (
    -- A place in a log at which it says that events are missing.
    id             INTEGER PRIMARY KEY,               -- number over all traces
    trace          INTEGER NOT NULL REFERENCES trace, -- the log
    line           INTEGER NOT NULL,                  -- line of the announcement, from 1
    cpu            INTEGER,                           -- the CPU whose buffer overflowed; NULL if it does not say
    count          INTEGER                            -- how many events; NULL if it does not say
) STRICT;
