CREATE TABLE log_part (
    -- A file of a log that was imported from several files; a log of one file has none.
    id            INTEGER PRIMARY KEY,               -- number over all traces
    trace         INTEGER NOT NULL REFERENCES trace, -- the log made of it and the others
    source        TEXT NOT NULL,                     -- path as it was given, or 'standard input'
    content_hash  TEXT NOT NULL,                     -- as in trace
    content_bytes INTEGER NOT NULL,                  -- length of the decompressed file
    file_bytes    INTEGER NOT NULL,                  -- length of the file as it was read
    lines         INTEGER NOT NULL,                  -- its lines
    events        INTEGER NOT NULL,                  -- events read from it, understood or not
    first_ns      INTEGER,                           -- time of its first event, ns of the trace clock; NULL if it has none
    last_ns       INTEGER                            -- latest time of an event in it; NULL if it has none
) STRICT;

CREATE TABLE log_piece (
    -- Where another file goes on in a log made of several: its lines are numbered through, from piece to piece.
    trace     INTEGER NOT NULL REFERENCES trace,     -- the log
    line      INTEGER NOT NULL,                      -- the piece's first line, as in operation.line and layer.line
    part      INTEGER NOT NULL REFERENCES log_part,  -- the file that goes on here
    part_line INTEGER NOT NULL,                      -- the line in that file; both count on together up to the next piece
    PRIMARY KEY (trace, line)
) STRICT, WITHOUT ROWID;
