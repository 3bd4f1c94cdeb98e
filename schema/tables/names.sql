CREATE TABLE task (
    -- A task of a log: who made a call, or whom an interrupt found running.
    id     INTEGER PRIMARY KEY,               -- number over all traces
    trace  INTEGER NOT NULL REFERENCES trace, -- the log that names it
    pid    INTEGER NOT NULL,                  -- the kernel's thread id; 0 is the idle task of each CPU
    comm   TEXT NOT NULL                      -- its name, at most 15 bytes; '<...>' where the kernel had forgotten it, '(not recorded)' where the log has none
) STRICT;

CREATE TABLE device (
    -- A device that a log names.
    id     INTEGER PRIMARY KEY,               -- number over all traces
    trace  INTEGER NOT NULL REFERENCES trace, -- the log that names it
    name   TEXT NOT NULL                      -- as the kernel calls it, such as 0000:00:07.0
) STRICT;

CREATE TABLE unit (
    -- An IOMMU unit that a log names.
    id     INTEGER PRIMARY KEY,               -- number over all traces
    trace  INTEGER NOT NULL REFERENCES trace, -- the log that names it
    name   TEXT NOT NULL                      -- as the driver calls it, such as dmar0
) STRICT;
