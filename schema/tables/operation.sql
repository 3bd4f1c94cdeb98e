CREATE TABLE operation_kind (
    -- The words for operation.kind.
    id   INTEGER PRIMARY KEY,                          -- value of operation.kind
    name TEXT NOT NULL                                 -- the field's word
) STRICT;

CREATE TABLE grade (
    -- How the domain of an operation is known, from the firmest on.
    id      INTEGER PRIMARY KEY,                       -- value of operation.grade
    name    TEXT NOT NULL,                             -- one word
    meaning TEXT NOT NULL                              -- what it rests on
) STRICT;

CREATE TABLE operation (
    -- What happened at the IOMMU API, in the order of the log. An unmap stands where its page-table entries were clear.
    id             INTEGER PRIMARY KEY,                -- increasing in the order of the log
    trace          INTEGER NOT NULL REFERENCES trace,  -- the log
    time_ns        INTEGER NOT NULL,                   -- trace clock; for an unmap the moment of the page-table clear (design §4 10)
    kind           INTEGER NOT NULL REFERENCES operation_kind, -- what happened
    cpu            INTEGER NOT NULL,                   -- the CPU of time_ns
    task           INTEGER NOT NULL REFERENCES task,   -- the task that ran there
    domain         INTEGER REFERENCES domain,          -- the domain; of a fault the one that its device was in; NULL if the operation has none, or a device moves to one that the log does not name
    device         INTEGER REFERENCES device,          -- the device of an attach, detach, fault, access or group change
    iova           INTEGER,                            -- first byte, by bit pattern
    size           INTEGER,                            -- bytes asked for; for a sync the bytes of its range, 0 for an empty gather, NULL if the log does not tell
    result         INTEGER,                            -- bytes done: unmapped, or mapped if success was seen; 0 for a failed map; NULL if not recorded
    paddr          INTEGER,                            -- physical address of a map, or what an access was translated to, by bit pattern
    since_entry_ns INTEGER,                            -- from the call's entry to time_ns; NULL if the entry was not recorded apart
    detail         INTEGER,                            -- fault: access flags; group change: group id; flush_all: 1 a flush queue's timer, 2 a full ring; domain_alloc: the type asked for; access: the domain id that the hardware knows
    flags          INTEGER NOT NULL,                   -- sum of 1 flush is queued by the caller, 2 part of VFIO's attach probe, 4 tracepoint seen, 8 detach within an attach, 16 return missing, 32 map failed, or unmap that undoes a failed one, 64 the function itself was probed, 128 called by dma_iova_unlink
    grade          INTEGER REFERENCES grade,           -- how the domain of a map or unmap is known; NULL if it names the domain's address, or is neither
    line           INTEGER NOT NULL                    -- line of the log that gave time_ns, from 1
) STRICT;

CREATE TABLE fault (
    -- Where in operation the faults are, which are few: to find them without looking through all.
    operation INTEGER PRIMARY KEY REFERENCES operation -- its operation
) STRICT;

CREATE TABLE marker (
    -- What was written to the trace by hand: phases of a test, mostly.
    operation INTEGER PRIMARY KEY REFERENCES operation, -- its operation
    text      TEXT NOT NULL                             -- what it says, at most 512 bytes
) STRICT;
