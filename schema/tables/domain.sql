CREATE TABLE domain (
    -- An IOMMU domain of a log: a kernel pointer and a generation, since the kernel reuses pointers.
    id              INTEGER PRIMARY KEY,               -- number over all traces
    trace           INTEGER NOT NULL REFERENCES trace, -- the log that it occurs in
    name            TEXT NOT NULL,                     -- pointer, with #generation from the second domain of one pointer on; 'hw:4' has the hardware's id, others a device's name; 'unresolved' stands for all operations whose domain is not known
    pointer         INTEGER,                           -- address of the kernel's struct iommu_domain, by bit pattern; NULL if the log does not show it
    generation      INTEGER NOT NULL,                  -- how many domains had this pointer before
    evidence        TEXT NOT NULL,                     -- how its operations are known to be its own: 'recorded', 'inferred', 'assumed'; domain_grade has more
    kind            TEXT NOT NULL,                     -- 'dma', 'unmanaged', 'identity', 'blocked', 'unknown'
    kind_evidence   TEXT NOT NULL,                     -- how kind is known: 'recorded', 'inferred', 'assumed'
    owner           TEXT NOT NULL,                     -- who maps and unmaps in it: 'dma' (the DMA API), 'type1' (VFIO), 'iommufd', 'unknown'
    owner_evidence  TEXT NOT NULL,                     -- how owner is known: 'recorded', 'inferred', 'assumed'
    mode            TEXT NOT NULL,                     -- what it did with its flushes: 'strict', 'deferred', 'mixed' (deferred, but some unmaps synced at once), 'unknown' (design §4 2)
    mode_reason     TEXT NOT NULL,                     -- the counts that mode was inferred from
    hardware_domain INTEGER,                           -- domain id that the hardware last knew it by; NULL if the log does not show it
    allocated_ns    INTEGER,                           -- time of its allocation, NULL if it was there before the recording
    freed_ns        INTEGER,                           -- time of its free, NULL if it outlived the recording
    was_attached    INTEGER NOT NULL,                  -- 1 if the log shows a device being attached to it
    assumed_attached INTEGER NOT NULL                  -- 1 if a device counts as attached until the log shows one (design §4 12)
) STRICT;

CREATE TABLE domain_grade (
    -- How many maps and unmaps of a domain are known to be its own in which way.
    domain     INTEGER NOT NULL REFERENCES domain, -- the domain
    grade      INTEGER NOT NULL REFERENCES grade,  -- how that is known
    operations INTEGER NOT NULL,                   -- how many of its maps and unmaps
    PRIMARY KEY (domain, grade)
) STRICT, WITHOUT ROWID;

CREATE TABLE hardware_id (
    -- From where to where in a log an IOMMU knew a domain by an id: ids are given out again when a domain is gone.
    id              INTEGER PRIMARY KEY,                -- number over all traces
    trace           INTEGER NOT NULL REFERENCES trace,  -- the log
    hardware_domain INTEGER NOT NULL,                   -- the id, as in layer.hardware_domain
    unit            INTEGER REFERENCES unit,            -- the IOMMU, each of which has ids of its own; NULL if the log does not tell
    domain          INTEGER NOT NULL REFERENCES domain, -- the domain
    first_line      INTEGER NOT NULL,                   -- first line on which the id may have been this domain's
    end_line        INTEGER                             -- the line on which it was no longer; NULL if it was to the end of the log
) STRICT;

CREATE TABLE attachment (
    -- A device that a log shows being attached to a domain.
    domain INTEGER NOT NULL REFERENCES domain, -- the domain
    device INTEGER NOT NULL REFERENCES device, -- the device
    PRIMARY KEY (domain, device)
) STRICT, WITHOUT ROWID;
