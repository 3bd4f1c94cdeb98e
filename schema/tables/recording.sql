CREATE TABLE metadata (
    -- What is known of a recording beside its events, from the log itself and from the sidecar that came with it. None of it
    -- is an event; it becomes defaults, and what_disagrees holds it against the events.
    id       INTEGER PRIMARY KEY,                   -- number over all traces, in the order in which it was found
    trace    INTEGER NOT NULL REFERENCES trace,     -- the log
    key      TEXT NOT NULL,                         -- what it is about: 'kernel', 'kernel_release', 'cmdline', 'cmdline_remark', 'boot_policy', 'boot_domain', 'strict_because', 'hz', 'trace_clock', 'tsc_hz', 'ticks_per_second', 'times', 'evident_clock', 'evident_kernel' (the oldest that the log's events can be of), 'tracer', 'buffer_cpus', 'UNIT.cap', 'UNIT.ecap', 'not_read'
    value    TEXT NOT NULL,                         -- in words
    number   INTEGER,                               -- as a number where it is one; of a kernel_release and evident_kernel 1000 x major + minor
    source   TEXT NOT NULL,                         -- 'log'; 'sidecar/' and the file; for ticks_per_second what it was concluded from, or the option
    evidence TEXT NOT NULL                          -- how it is known: 'recorded', 'inferred', 'assumed'
) STRICT;

CREATE TABLE buffer_counter (
    -- What the ring buffer of a CPU counted when the recording ended. These have no place in the log: none of them is in
    -- lost_events, and no window is uncertain for them.
    id             INTEGER PRIMARY KEY,               -- number over all traces
    trace          INTEGER NOT NULL REFERENCES trace, -- the log
    cpu            INTEGER NOT NULL,                  -- the CPU
    entries        INTEGER,                           -- events in the buffer; NULL if the source does not say, as below
    overrun        INTEGER,                           -- events that later ones overwrote
    commit_overrun INTEGER,                           -- events lost because too many interrupts nested
    dropped        INTEGER,                           -- events that a full buffer refused
    read           INTEGER,                           -- events that a reader took out
    source         TEXT NOT NULL                      -- 'log', or 'sidecar/' and the file
) STRICT;

CREATE TABLE probe_counter (
    -- What kprobe_profile counted. A missed hit is lost without any mark in the log.
    id     INTEGER PRIMARY KEY,               -- number over all traces
    trace  INTEGER NOT NULL REFERENCES trace, -- the log
    probe  TEXT NOT NULL,                     -- the probe's event
    hits   INTEGER NOT NULL,                  -- how often it was hit, since the probe was made
    missed INTEGER NOT NULL,                  -- how often it was passed without a hit
    source TEXT NOT NULL                      -- 'sidecar/' and the file
) STRICT;

CREATE TABLE iommu_group (
    -- A group of devices, which the IOMMU cannot tell apart.
    id     INTEGER PRIMARY KEY,               -- number over all traces
    trace  INTEGER NOT NULL REFERENCES trace, -- the log
    number INTEGER NOT NULL,                  -- the kernel's number of it
    type   TEXT,                              -- type of its default domain, whoever owned the group while it was recorded: 'DMA', 'DMA-FQ', 'identity', …; NULL if not told
    source TEXT NOT NULL                      -- 'sidecar/' and the file or folder
) STRICT;

CREATE TABLE group_device (
    -- A device of a group.
    iommu_group INTEGER NOT NULL REFERENCES iommu_group ON DELETE CASCADE, -- the group
    name        TEXT NOT NULL,                     -- as device.name
    driver      TEXT,                              -- its driver; NULL if not told
    PRIMARY KEY (iommu_group, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX group_device_name ON group_device (name);
