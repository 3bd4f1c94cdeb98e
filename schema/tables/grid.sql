CREATE TABLE sweep (
    -- One log replayed under a grid of flush schedules (iommu-trace sweep). The same log, grid and options replace the former.
    id         INTEGER PRIMARY KEY,                    -- number
    trace      INTEGER NOT NULL REFERENCES trace,      -- the log
    grid       TEXT NOT NULL,                          -- the grid, canonical: '--policies' in order, joined by spaces
    options    TEXT NOT NULL,                          -- what else the points rest on, as 'name=value' joined by spaces: page-sizes, hz, hardware, from and to of a part
    hardware   TEXT,                                   -- the hardware profile whose commands are counted; NULL if none was asked for
    first_ns   INTEGER NOT NULL,                       -- begin of what was replayed, trace clock
    last_ns    INTEGER NOT NULL,                       -- end of what was replayed, trace clock
    UNIQUE (trace, grid, options)
) STRICT;

CREATE TABLE sweep_point (
    -- One flush schedule of a sweep: what it costs and what it exposes, for the whole trace and for each domain that unmaps.
    id                    INTEGER PRIMARY KEY,         -- number over all sweeps
    sweep                 INTEGER NOT NULL REFERENCES sweep ON DELETE CASCADE, -- the sweep
    domain                INTEGER REFERENCES domain,   -- the domain; NULL for the whole trace
    policy                TEXT NOT NULL,               -- the schedule, canonical, such as 'queue=256,10ms'
    family                TEXT NOT NULL,               -- its name without parameters, such as 'queue'
    calls                 INTEGER,                     -- its N: entries of a ring, calls of a batch; NULL without one
    wait_ns               INTEGER,                     -- its T; NULL without one
    is_in_grid            INTEGER NOT NULL,            -- 1 if the grid has it; 0 if it is there to compare with
    is_kernel_default     INTEGER NOT NULL,            -- 1 if a kernel does so by default: sync, queue=256,10ms, single-queue=32768,1s, for unmanaged domains vfio
    mark                  TEXT NOT NULL,               -- what it stands for if it is there to compare with, such as 'kernel default, lazy'; otherwise empty
    unmap_calls           INTEGER NOT NULL,            -- unmap calls (design §4 1)
    detached_calls        INTEGER NOT NULL,            -- those of them made while no device was attached: their flushes reach no hardware
    flushes               INTEGER NOT NULL,            -- flushes of the schedule
    flushes_pending       INTEGER NOT NULL,            -- domains that still wait for a flush at the end of the log
    windows               INTEGER NOT NULL,            -- closed stale windows
    censored              INTEGER NOT NULL,            -- windows open at the end of the log
    uncertain             INTEGER NOT NULL,            -- windows in which events were lost: in no other figure
    p50_ns                INTEGER,                     -- length that half of the closed windows do not exceed; NULL without any
    p99_ns                INTEGER,                     -- likewise 99 %
    max_ns                INTEGER,                     -- length of the longest closed window
    exposure_page_seconds REAL NOT NULL,               -- pages x length of closed windows
    censored_page_seconds REAL NOT NULL,               -- pages x length so far of censored windows
    peak_stale_pages      INTEGER NOT NULL,            -- most 4096-byte pages in open windows at one time
    hazards_access        INTEGER NOT NULL,            -- faults and accesses inside windows (design §4 13)
    hazards_iova_reuse    INTEGER NOT NULL,            -- 4096-byte pages whose address was mapped to another page inside a window
    hazards_page_reuse    INTEGER NOT NULL,            -- 4096-byte pages that were mapped in another domain inside a window
    deferred_reuse        INTEGER NOT NULL,            -- like iova reuse, but an allocator that defers would have withheld the address
    commands              INTEGER,                     -- invalidation commands that the flushes become (modelled); NULL without a hardware profile
    waits                 INTEGER,                     -- completion waits of those commands
    is_pareto             INTEGER NOT NULL,            -- 1 if no schedule that can be chosen has both fewer flushes and less exposure (design §4 31)
    evidence              TEXT NOT NULL                -- weakest evidence that flushes rests on: 'recorded', 'inferred', 'modelled', 'assumed'
) STRICT;
