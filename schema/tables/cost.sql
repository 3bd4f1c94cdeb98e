CREATE TABLE cost (
    -- How long one step takes: the built-in constants of report costs, figures of no log (design §4 21). A file given with --cost
    -- is not stored: it stands before these for one report.
    id         INTEGER PRIMARY KEY,                    -- number, in the order of the file
    name       TEXT NOT NULL UNIQUE,                   -- the constant
    low_ns     REAL NOT NULL,                          -- low end of the interval
    typical_ns REAL NOT NULL,                          -- what is taken for one figure
    high_ns    REAL NOT NULL,                          -- high end of the interval
    evidence   TEXT NOT NULL,                          -- how it is known: 'measured', 'hearsay', 'inferred', 'assumption'
    source     TEXT NOT NULL,                          -- who says so, and of what machine
    meaning    TEXT NOT NULL,                          -- what takes so long
    part       TEXT,                                   -- the part of report costs that it is used in: 'page table', 'queue', 'flush'; NULL if in none
    file       TEXT NOT NULL                           -- the file that it stands in
) STRICT;
