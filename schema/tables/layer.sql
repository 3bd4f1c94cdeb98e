CREATE TABLE layer_kind (
    -- The words for layer.kind.
    id   INTEGER PRIMARY KEY,                          -- value of layer.kind
    name TEXT NOT NULL                                 -- name of the event, descriptor or command
) STRICT;

CREATE TABLE layer (
    -- What drivers and hardware did below the API: the layers of flushes, and what attaches cost (design §4 4).
    -- A function that sends a descriptor and the descriptor that it sends are one row, the descriptor's.
    id              INTEGER PRIMARY KEY,               -- increasing in the order of the log; line orders operations and layers among each other
    trace           INTEGER NOT NULL REFERENCES trace, -- the log
    time_ns         INTEGER NOT NULL,                  -- trace clock
    kind            INTEGER NOT NULL REFERENCES layer_kind, -- what was done
    cpu             INTEGER NOT NULL,                  -- the CPU
    task            INTEGER NOT NULL REFERENCES task,  -- the task that ran there
    flush           INTEGER REFERENCES operation,      -- the sync or flush_all that it belongs to
    cause           INTEGER,                           -- where there is no flush: 2 an attach or detach, 3 a map; NULL if the log does not show why
    domain          INTEGER REFERENCES domain,         -- where there is no flush: the domain of the CPU's last unmap (inferred); otherwise NULL, it is the flush's
    unit            INTEGER REFERENCES unit,           -- the IOMMU that was told
    device          INTEGER REFERENCES device,         -- the device whose tag or TLB it is about
    hardware_domain INTEGER,                           -- domain id that the hardware knows
    granularity     INTEGER,                           -- 1 global, 2 one domain, 3 pages (or one device, for cc_inv)
    address         INTEGER,                           -- address operand as sent, by bit pattern; not always aligned to mask
    mask            INTEGER,                           -- log2 of the 4 KiB pages covered
    flags           INTEGER NOT NULL,                  -- sum of 1 paging-structure caches may stay (IH), 2 first of a run of IOTLB invalidations: a flush at the hardware layer
    line            INTEGER NOT NULL                   -- line of the log, from 1
) STRICT;

CREATE TABLE raw_command (
    -- The words of a command that layer's columns do not hold whole.
    layer INTEGER PRIMARY KEY REFERENCES layer, -- the command
    word0 INTEGER,                              -- first 64 bits, by bit pattern
    word1 INTEGER                               -- next 64 bits
) STRICT;
