CREATE TABLE trace (
    -- One imported log.
    id              INTEGER PRIMARY KEY,      -- number, in order of import
    name            TEXT NOT NULL UNIQUE,     -- how the command line and the reports call it: the file's name without endings
    source          TEXT NOT NULL,            -- path of the file as it was given, or 'standard input'
    content_hash    TEXT NOT NULL,            -- XXH64 of the decompressed bytes, 16 hexadecimal digits: the same log is not imported twice
    content_bytes   INTEGER NOT NULL,         -- length of the decompressed log
    file_bytes      INTEGER NOT NULL,         -- length of the file as it was read
    lines           INTEGER NOT NULL,         -- lines of the decompressed log
    events          INTEGER NOT NULL,         -- event lines read, understood or not
    first_ns        INTEGER NOT NULL,         -- earliest time of an event, ns of the trace clock
    last_ns         INTEGER NOT NULL,         -- latest time of an event, ns of the trace clock
    backwards       INTEGER NOT NULL,         -- events that stand earlier in time than the event before them in the log
    buffer_entries  INTEGER,                  -- the header's entries-in-buffer, NULL without a header
    buffer_written  INTEGER,                  -- the header's entries-written; what is more than buffer_entries was overwritten before the log begins
    flush_layer     TEXT NOT NULL,            -- where the log shows flushes: 'api' (sync, flush_all), 'hardware' (IOTLB descriptors only), 'none'
    shows_attaches  INTEGER NOT NULL,         -- 1 if the log shows attaches and names device and domain; 0: all domains count as attached (design §4 12)
    shows_returns   INTEGER NOT NULL,         -- 1 if the log shows returns of unmap calls
    single_domain   INTEGER NOT NULL,         -- 1 if it was imported with --assume-single-domain: operations that name no domain are those of one
    first_operation INTEGER NOT NULL,         -- lowest id of this trace in operation, whose ids have no gaps
    operations      INTEGER NOT NULL,         -- rows of this trace in operation
    first_layer     INTEGER NOT NULL,         -- lowest id of this trace in layer, whose ids have no gaps
    layers          INTEGER NOT NULL,         -- rows of this trace in layer
    UNIQUE (content_hash, content_bytes)
) STRICT;
