CREATE TABLE page_size_summary (
    -- Which page sizes the maps of a log get, and why no larger ones (design §4 25). Written by the first replay of a log with
    -- these page sizes; the same for all policies. Evidence: assumed, no log tells which sizes an IOMMU offers.
    trace            INTEGER NOT NULL REFERENCES trace,  -- the log
    offered          TEXT NOT NULL,                      -- page sizes of all domains, as given with --page-sizes
    domain           INTEGER NOT NULL REFERENCES domain, -- the domain
    device           INTEGER REFERENCES device,          -- its only device; NULL if the log does not show it, or shows several
    task             INTEGER REFERENCES task,            -- the task that mapped; NULL where a log names too many to be told apart
    page_size        INTEGER,                            -- bytes of a page; NULL where the log does not tell the physical address
    limits           INTEGER,                            -- why not the next larger size offered: sum of 1 alignment of the IOVA, 2 of the physical address, 4 length; 8 none larger is offered
    callbacks        INTEGER NOT NULL,                   -- runs of equal pages, each a call into the driver; map calls where page_size is NULL
    pages            INTEGER,                            -- pages of that size
    bytes            INTEGER NOT NULL,                   -- their bytes
    iova_lifted_2m   INTEGER,                            -- those of them that would be in pages of at least 2 MiB if the IOVA were aligned as the physical address is
    iova_lifted_1g   INTEGER,                            -- likewise 1 GiB
    paddr_lifted_2m  INTEGER,                            -- at least 2 MiB if the physical address were aligned as the IOVA is
    paddr_lifted_1g  INTEGER,                            -- likewise 1 GiB
    length_lifted_2m INTEGER,                            -- at least 2 MiB if the map went on behind its end
    length_lifted_1g INTEGER,                            -- likewise 1 GiB
    size_lifted_2m   INTEGER,                            -- at least 2 MiB if that size were offered
    size_lifted_1g   INTEGER                             -- likewise 1 GiB
) STRICT;

CREATE TABLE churn_total (
    -- What was mapped and unmapped altogether, and by domain, device and task (design §4 26). Written by the first replay of a
    -- log; the same for all policies.
    trace               INTEGER NOT NULL REFERENCES trace, -- the log
    told_by             TEXT NOT NULL,                     -- 'trace', 'domain', 'device', 'task'
    member              INTEGER NOT NULL,                  -- number of the domain, device or task; 0 for the whole trace and for what the log does not tell
    maps                INTEGER NOT NULL,                  -- successful map calls
    unmaps              INTEGER NOT NULL,                  -- unmap calls
    mapped_bytes        INTEGER NOT NULL,                  -- bytes mapped
    unmapped_bytes      INTEGER NOT NULL,                  -- bytes unmapped
    iova_reuses         INTEGER NOT NULL,                  -- map calls whose first page's IOVA had been unmapped before in the domain
    iova_p50_ns         INTEGER,                           -- time since that unmap that half of them do not exceed; NULL without any
    iova_p90_ns         INTEGER,                           -- likewise 90 %
    iova_p99_ns         INTEGER,                           -- likewise 99 %
    iova_max_ns         INTEGER,                           -- the longest
    iova_p50_calls      INTEGER,                           -- map and unmap calls of the log since that unmap, this one counted, that half of them do not exceed
    iova_p90_calls      INTEGER,                           -- likewise 90 %
    iova_p99_calls      INTEGER,                           -- likewise 99 %
    iova_max_calls      INTEGER,                           -- the most
    page_reuses         INTEGER NOT NULL,                  -- map calls whose first page of memory had been unmapped before, in whichever domain
    page_p50_ns         INTEGER,                           -- time since that unmap that half of them do not exceed; NULL without any
    page_p90_ns         INTEGER,                           -- likewise 90 %
    page_p99_ns         INTEGER,                           -- likewise 99 %
    page_max_ns         INTEGER,                           -- the longest
    page_p50_calls      INTEGER,                           -- map and unmap calls of the log since that unmap that half of them do not exceed
    page_p90_calls      INTEGER,                           -- likewise 90 %
    page_p99_calls      INTEGER,                           -- likewise 99 %
    page_max_calls      INTEGER,                           -- the most
    live_mappings       INTEGER NOT NULL,                  -- map calls whose first page is mapped at the end of the log; counted for who mapped
    live_bytes          INTEGER NOT NULL,                  -- bytes mapped at the end of the log
    peak_live_mappings  INTEGER NOT NULL,                  -- the most such map calls at one time
    peak_live_bytes     INTEGER NOT NULL,                  -- the most bytes at one time
    PRIMARY KEY (trace, told_by, member)
) STRICT, WITHOUT ROWID;

CREATE TABLE churn_step (
    -- Maps and unmaps in 128 equal steps of a log's time, for each domain, device and task; steps in which nothing happens are
    -- missing. Written by the first replay of a log.
    trace           INTEGER NOT NULL REFERENCES trace,  -- the log
    domain          INTEGER NOT NULL REFERENCES domain, -- the domain
    device          INTEGER REFERENCES device,          -- its only device; NULL if the log does not show it, or shows several
    task            INTEGER REFERENCES task,            -- the task that called; NULL where a log names too many to be told apart
    start_ns        INTEGER NOT NULL,                   -- begin of the step, trace clock
    maps            INTEGER NOT NULL,                   -- successful map calls
    unmaps          INTEGER NOT NULL,                   -- unmap calls
    mapped_bytes    INTEGER NOT NULL,                   -- bytes mapped
    unmapped_bytes  INTEGER NOT NULL,                   -- bytes unmapped
    mappings_change INTEGER NOT NULL,                   -- how many more map calls of this domain, device and task are mapped at the end of the step than at its begin
    bytes_change    INTEGER NOT NULL                    -- likewise bytes
) STRICT;
