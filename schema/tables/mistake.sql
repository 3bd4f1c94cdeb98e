CREATE TABLE mistake_kind (
    -- The words for mistake.kind and mistake_summary.kind (design §4 29).
    id         INTEGER PRIMARY KEY,                   -- value of kind
    name       TEXT NOT NULL,                         -- the word
    is_mistake INTEGER NOT NULL,                      -- 1 if it breaks a rule of the interface; 0 for what only looks like it
    evidence   TEXT NOT NULL,                         -- how it is known: 'recorded', or 'modelled' where it rests on what the model has mapped
    meaning    TEXT NOT NULL                          -- in a sentence
) STRICT;

CREATE TABLE mistake_summary (
    -- How often each kind of mistake was made, by domain, device and task. Like mapping_summary, what a replay of the whole log saw.
    trace     INTEGER NOT NULL REFERENCES trace,        -- the log
    domain    INTEGER NOT NULL REFERENCES domain,       -- the domain
    device    INTEGER REFERENCES device,                -- its device; NULL if the log does not show it, or shows several
    task      INTEGER REFERENCES task,                  -- who called; NULL where a log names too many to be told apart
    kind      INTEGER NOT NULL REFERENCES mistake_kind, -- what was wrong
    certainty INTEGER NOT NULL,                         -- 0 certain, 1 events were lost that may explain it, 2 the domain is not known (no mistake)
    calls     INTEGER NOT NULL,                         -- how many map or unmap calls
    bytes     INTEGER NOT NULL                          -- bytes concerned: mapped twice, not removed, removed or left
) STRICT;

CREATE TABLE mistake (
    -- Mistakes one by one: the first 1000 of each kind of a log, without those of domains that are not known.
    operation INTEGER NOT NULL REFERENCES operation,    -- the call
    kind      INTEGER NOT NULL REFERENCES mistake_kind, -- what was wrong
    other     INTEGER REFERENCES operation,             -- the map call that it collides with; NULL if there is none
    certainty INTEGER NOT NULL,                         -- as in mistake_summary
    bytes     INTEGER NOT NULL,                         -- as in mistake_summary
    PRIMARY KEY (operation, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE live_mapping (
    -- Map calls of which something is still mapped at the end of the log (design §4 30).
    operation INTEGER PRIMARY KEY REFERENCES operation, -- the map call
    bytes     INTEGER NOT NULL                          -- bytes of it that are still mapped
) STRICT;

CREATE TABLE live_sample (
    -- How much a domain has mapped at ten moments of a log, a tenth of it apart.
    trace   INTEGER NOT NULL REFERENCES trace,          -- the log
    domain  INTEGER NOT NULL REFERENCES domain,         -- the domain
    step    INTEGER NOT NULL,                           -- 1 to 10; 10 is the end
    time_ns INTEGER NOT NULL,                           -- the moment, trace clock
    bytes   INTEGER NOT NULL,                           -- bytes mapped then
    PRIMARY KEY (trace, domain, step)
) STRICT, WITHOUT ROWID;
