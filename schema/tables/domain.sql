CREATE TABLE domain (
    -- An IOMMU domain of a log: a kernel pointer and a generation, since the kernel reuses pointers.
    id              INTEGER PRIMARY KEY,               -- number over all traces
    trace           INTEGER NOT NULL REFERENCES trace, -- the log that it occurs in
    name            TEXT NOT NULL,                     -- pointer, with #generation from the second domain of one pointer on; 'unresolved' stands for all operations whose domain the log does not name; a device's name where the log names that in place of a domain
    pointer         INTEGER,                           -- address of the kernel's struct iommu_domain, by bit pattern; NULL for 'unresolved' and for one that is named after a device
    generation      INTEGER NOT NULL,                  -- how many domains had this pointer before
    evidence        TEXT NOT NULL,                     -- how its operations are known to be its own: 'recorded', 'inferred' (named after a device), 'assumed'
    kind            TEXT NOT NULL,                     -- 'dma', 'unmanaged', 'identity', 'blocked', 'unknown'
    kind_evidence   TEXT NOT NULL,                     -- how kind is known: 'recorded', 'inferred', 'assumed'
    mode            TEXT NOT NULL,                     -- what it did with its flushes: 'strict', 'deferred', 'unknown' (design §4 2)
    mode_reason     TEXT NOT NULL,                     -- the counts that mode was inferred from
    hardware_domain INTEGER,                           -- domain id that the hardware last knew it by; NULL if the log does not show it
    allocated_ns    INTEGER,                           -- time of its allocation, NULL if it was there before the recording
    freed_ns        INTEGER,                           -- time of its free, NULL if it outlived the recording
    was_attached    INTEGER NOT NULL,                  -- 1 if the log shows a device being attached to it
    assumed_attached INTEGER NOT NULL                  -- 1 if a device counts as attached until the log shows one (design §4 12)
) STRICT;

CREATE TABLE attachment (
    -- A device that a log shows being attached to a domain.
    domain INTEGER NOT NULL REFERENCES domain, -- the domain
    device INTEGER NOT NULL REFERENCES device, -- the device
    PRIMARY KEY (domain, device)
) STRICT, WITHOUT ROWID;
