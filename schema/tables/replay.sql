CREATE TABLE replay (
    -- One log replayed under one policy. The same log, policy and options replace the former replay.
    id               INTEGER PRIMARY KEY,               -- number
    trace            INTEGER NOT NULL REFERENCES trace, -- the log
    requested        TEXT NOT NULL,                     -- the policy as it was asked for, such as 'fast' or 'strict'
    policy           TEXT NOT NULL,                     -- its canonical form, such as 'queue=256,10ms'; for fast all that it chose, joined by '+'
    options          TEXT NOT NULL,                     -- what else the counts rest on, as 'name=value' joined by spaces: page-sizes, hz, hardware, iotlb, accesses, from and to of a part
    hz_from          TEXT,                              -- who says how fast the kernel's timer ticks: '--hz' (assumed), a file of the log's sidecar (recorded), 'default' (assumed); NULL where the policy has no timer
    hardware         TEXT,                              -- the hardware profile whose commands are counted below; NULL if none was asked for
    layer            TEXT NOT NULL,                     -- where its flushes are counted: 'api', or 'hardware' for recorded flushes of a log without API events
    first_ns         INTEGER NOT NULL,                  -- begin of what was replayed, trace clock
    last_ns          INTEGER NOT NULL,                  -- end of what was replayed, trace clock
    step_ns          INTEGER NOT NULL,                  -- length of a step of timeline
    windows_left_out INTEGER NOT NULL,                  -- stale windows that are counted in window_summary and not kept in stale_window
    unmap_calls      INTEGER NOT NULL,                  -- unmap calls of the log (design §4 1)
    pages_unmapped   INTEGER NOT NULL,                  -- 4096-byte pages that they removed (design §4 14)
    flushes          INTEGER,                           -- flushes of the policy; NULL if the log cannot tell
    flushes_pending  INTEGER,                           -- domains that still wait for a flush at the end of the log
    commands         INTEGER,                           -- invalidation commands that the flushes become under the hardware profile (modelled); NULL without one
    domain_commands  INTEGER,                           -- those of them that name a whole domain
    waits            INTEGER,                           -- completion waits of those commands
    device_tlb_commands INTEGER,                        -- commands to devices with a TLB of their own (ats= in the profile)
    pages_invalidated INTEGER,                          -- 4096-byte pages that the commands cover which do not name a domain
    over_invalidated_pages INTEGER,                     -- those of them that nobody had asked for
    iotlb            TEXT,                              -- the simulated IOTLB that the commands empty (design §4 22): entries, ways, replacement; NULL if none was asked for
    accesses         TEXT,                              -- the assumption on what fills it: 'none', 'touch-on-map', 'recorded'
    iotlb_hits       INTEGER,                           -- accesses that found an entry (modelled); NULL without an IOTLB, or if the log cannot tell the flushes
    iotlb_misses     INTEGER,                           -- accesses that found none and loaded one
    walk_reads       INTEGER,                           -- page tables that the misses read in memory, with paging-structure caches of 32 entries at each level above the leaves (assumed)
    iotlb_faults     INTEGER,                           -- accesses to what was neither cached nor mapped
    stale_hits       INTEGER,                           -- those of iotlb_hits whose entry an unmap had made stale
    stale_entries    INTEGER,                           -- entries that outlived the unmap call of their page; their lengths are in stale_entry_total
    entries_killed   INTEGER,                           -- entries that the commands removed
    live_entries_killed INTEGER,                        -- those of them whose translation was still good: each may miss once more
    evidence         TEXT NOT NULL,                     -- weakest evidence that flushes rests on: 'recorded', 'inferred', 'modelled', 'assumed'
    UNIQUE (trace, requested, options)
) STRICT;

CREATE TABLE replay_domain (
    -- One replay's counts for one domain.
    replay              INTEGER NOT NULL REFERENCES replay ON DELETE CASCADE, -- the replay
    domain              INTEGER NOT NULL REFERENCES domain, -- the domain
    policy              TEXT NOT NULL,                  -- the policy that was applied to it, canonical
    reason              TEXT NOT NULL,                  -- why this policy, where fast chose; otherwise empty
    unmap_calls         INTEGER NOT NULL,               -- unmap calls
    attach_probe_calls  INTEGER NOT NULL,               -- those of them that were VFIO's attach probe
    detached_calls      INTEGER NOT NULL,               -- those of them made while no device was attached
    pages_unmapped      INTEGER NOT NULL,               -- 4096-byte pages removed
    unreachable_pages   INTEGER NOT NULL,               -- those of them removed while no device was attached (design §4 12)
    flushes             INTEGER,                        -- flushes; NULL if the log cannot tell
    detached_flushes    INTEGER,                        -- those of them made while no device was attached: no hardware command follows
    calls_pending       INTEGER NOT NULL,               -- unmap calls not covered by a flush at the end of the log
    flushes_pending     INTEGER NOT NULL,               -- 1 if a flush is still due: calls wait or a timer is armed
    commands            INTEGER,                        -- invalidation commands that the flushes become (modelled); NULL without a hardware profile
    domain_commands     INTEGER,                        -- those of them that name the whole domain
    waits               INTEGER,                        -- completion waits of those commands
    device_tlb_commands INTEGER,                        -- commands to devices with a TLB of their own
    pages_invalidated   INTEGER,                        -- 4096-byte pages that the commands cover which do not name the domain
    over_invalidated_pages INTEGER,                     -- those of them that nobody had asked for
    iotlb_hits          INTEGER,                        -- accesses that found an entry in the simulated IOTLB (modelled); NULL without one
    iotlb_misses        INTEGER,                        -- accesses that found none and loaded one
    walk_reads          INTEGER,                        -- page tables that the misses read in memory
    iotlb_faults        INTEGER,                        -- accesses to what was neither cached nor mapped
    stale_hits          INTEGER,                        -- those of iotlb_hits whose entry an unmap had made stale
    stale_entries       INTEGER,                        -- entries that outlived the unmap call of their page
    entries_killed      INTEGER,                        -- entries that the commands removed
    live_entries_killed INTEGER,                        -- those of them whose translation was still good
    evidence            TEXT NOT NULL,                  -- how flushes is known
    PRIMARY KEY (replay, domain)
) STRICT, WITHOUT ROWID;

CREATE TABLE flush_summary (
    -- One replay's counts for each domain, device and task (design §4 32): whose unmap calls they were, and in whose calls the flushes
    -- happened. The sums over a domain are its counts in replay_domain.
    replay              INTEGER NOT NULL REFERENCES replay ON DELETE CASCADE, -- the replay
    domain              INTEGER NOT NULL REFERENCES domain, -- the domain unmapped in and flushed
    device              INTEGER REFERENCES device,      -- the device that could reach it; NULL if the log does not show it, or shows several
    task                INTEGER REFERENCES task,        -- the task that unmapped, or in whose call a flush happened; NULL for timers, and where a log names too many to be told apart
    unmap_calls         INTEGER NOT NULL,               -- unmap calls
    detached_calls      INTEGER NOT NULL,               -- those of them made while no device was attached
    pages_unmapped      INTEGER NOT NULL,               -- 4096-byte pages removed
    further_pages       INTEGER NOT NULL,               -- those of them beyond the first of each call
    flushes             INTEGER,                        -- flushes; NULL if the log cannot tell
    detached_flushes    INTEGER,                        -- those of them made while no device was attached: no hardware command follows
    domain_flushes      INTEGER,                        -- those of the others that name the whole domain: of a queue, of end, flush_alls of the log
    commands            INTEGER,                        -- invalidation commands sent in these calls (modelled); NULL without a hardware profile
    domain_commands     INTEGER,                        -- those of them that name the whole domain
    further_commands    INTEGER,                        -- those of them that are not the first before their wait
    waits               INTEGER,                        -- completion waits of those commands
    device_tlb_commands INTEGER,                        -- commands to devices with a TLB of their own
    pages_invalidated   INTEGER,                        -- 4096-byte pages that the commands cover which do not name the domain
    over_invalidated_pages INTEGER                      -- those of them that nobody had asked for
) STRICT;

CREATE TABLE flush_cause (
    -- The words for flush.cause.
    id   INTEGER PRIMARY KEY,                           -- value of flush.cause
    name TEXT NOT NULL                                  -- what made the policy flush
) STRICT;

CREATE TABLE flush (
    -- Every flush of every replay, in order of time within a replay and domain. Under sync and per-page, where each unmap
    -- call flushes for itself, one row sums up the calls of a domain within a millisecond.
    id        INTEGER PRIMARY KEY,                      -- number over all replays
    replay    INTEGER NOT NULL REFERENCES replay ON DELETE CASCADE, -- the replay
    time_ns   INTEGER NOT NULL,                         -- trace clock; modelled for timers; the first one's where several are summed up
    domain    INTEGER NOT NULL REFERENCES domain,       -- the domain flushed
    operation INTEGER,                                  -- the operation at which it happened: the (first) unmap call that caused it, or the recorded flush; NULL for timers
    cause     INTEGER NOT NULL REFERENCES flush_cause,  -- what made the policy flush
    flushes   INTEGER NOT NULL,                         -- how many flushes
    calls     INTEGER NOT NULL,                         -- unmap calls that they covered
    attached  INTEGER NOT NULL                          -- 1 if a device was attached: only then a hardware command follows
) STRICT;

CREATE TABLE mapping_summary (
    -- What the model's page tables saw of a domain, whatever the policy. Evidence: modelled.
    trace                INTEGER NOT NULL REFERENCES trace,  -- the log
    domain               INTEGER NOT NULL REFERENCES domain, -- the domain
    maps                 INTEGER NOT NULL,              -- successful map calls
    mapped_bytes         INTEGER NOT NULL,              -- bytes that they mapped
    unmaps               INTEGER NOT NULL,              -- unmap calls
    unmapped_bytes       INTEGER NOT NULL,              -- bytes that they removed, as recorded
    maps_over_live       INTEGER NOT NULL,              -- map calls onto something still mapped
    unmaps_of_nothing    INTEGER NOT NULL,              -- unmap calls that removed no byte
    unmaps_without_map   INTEGER NOT NULL,              -- unmap calls that removed what was mapped before the recording, or by a map that it missed
    live_bytes           INTEGER NOT NULL,              -- mapped at the end of the log
    peak_live_bytes      INTEGER NOT NULL,              -- most that was mapped at one time
    PRIMARY KEY (trace, domain)
) STRICT, WITHOUT ROWID;
