CREATE TABLE layer_kind (
    -- The words for layer.kind.
    id   INTEGER PRIMARY KEY,                          -- value of layer.kind
    name TEXT NOT NULL                                 -- name of the event, descriptor or command
) STRICT;

CREATE TABLE layer (
    -- What drivers and hardware did below the API: the layers of flushes, and what attaches cost (design §4 4).
    id              INTEGER PRIMARY KEY,               -- increasing in the order of the log; shared with operation
    trace           INTEGER NOT NULL REFERENCES trace, -- the log
    time_ns         INTEGER NOT NULL,                  -- trace clock
    kind            INTEGER NOT NULL REFERENCES layer_kind, -- what was done
    cpu             INTEGER NOT NULL,                  -- the CPU
    task            INTEGER NOT NULL REFERENCES task,  -- the task that ran there
    cause           INTEGER,                           -- 1 a flush, 2 an attach or detach, 3 a map; NULL if the log does not show it
    flush           INTEGER REFERENCES operation,      -- the sync or flush_all that it belongs to
    domain          INTEGER REFERENCES domain,         -- the flush's domain; without a flush that of the CPU's last unmap (inferred)
    unit            INTEGER REFERENCES unit,           -- the IOMMU that was told
    device          INTEGER REFERENCES device,         -- the device whose tag or TLB it is about
    hardware_domain INTEGER,                           -- domain id that the hardware knows
    granularity     INTEGER,                           -- 1 global, 2 one domain, 3 pages (or one device, for cc_inv)
    address         INTEGER,                           -- address operand as sent, by bit pattern; not always aligned to mask
    mask            INTEGER,                           -- log2 of the 4 KiB pages covered
    hint            INTEGER,                           -- 1 if paging-structure caches may stay (IH)
    starts_run      INTEGER NOT NULL,                  -- 1 for the first of a run of IOTLB invalidations: a flush at the hardware layer
    word0           INTEGER,                           -- first 64 bits of a command that the columns above do not hold whole
    word1           INTEGER,                           -- its next 64 bits
    line            INTEGER NOT NULL                   -- line of the log, from 1
) STRICT;
