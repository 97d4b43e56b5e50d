-- The first schema. Columns are what is looked up or must be unique; `record` is the whole record as JSON.
-- Times are microseconds since 1970 in UTC, ids and digests their text, money decimal text.
PRAGMA application_id = 0x424f574c; -- "BOWL"

CREATE TABLE project (
    project TEXT PRIMARY KEY NOT NULL,
    record TEXT NOT NULL
) STRICT;

CREATE TABLE version (
    digest TEXT PRIMARY KEY NOT NULL,
    record TEXT NOT NULL
) STRICT;

CREATE TABLE registration (
    id INTEGER PRIMARY KEY,
    project TEXT NOT NULL,
    prompt TEXT NOT NULL,
    version TEXT NOT NULL,
    commit_id TEXT NOT NULL, -- empty outside a repository
    at INTEGER NOT NULL,
    record TEXT NOT NULL,
    UNIQUE (project, prompt, version, commit_id)
) STRICT;
CREATE INDEX registration_by_time ON registration (project, prompt, at, id);

CREATE TABLE environment (
    project TEXT NOT NULL,
    environment TEXT NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (project, environment)
) STRICT;

CREATE TABLE pointer (
    project TEXT NOT NULL,
    environment TEXT NOT NULL,
    prompt TEXT NOT NULL,
    version TEXT NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (project, environment, prompt)
) STRICT;

CREATE TABLE pointer_log (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, -- never given twice
    project TEXT NOT NULL,
    environment TEXT NOT NULL,
    prompt TEXT,
    record TEXT NOT NULL
) STRICT;
CREATE INDEX pointer_log_by_scope ON pointer_log (project, environment, sequence);
CREATE TRIGGER pointer_log_keeps_rows BEFORE DELETE ON pointer_log
BEGIN SELECT RAISE(ABORT, 'the pointer log is append-only'); END;
CREATE TRIGGER pointer_log_keeps_values BEFORE UPDATE ON pointer_log
BEGIN SELECT RAISE(ABORT, 'the pointer log is append-only'); END;

CREATE TABLE rollout (
    id TEXT PRIMARY KEY NOT NULL,
    project TEXT NOT NULL,
    environment TEXT NOT NULL,
    prompt TEXT NOT NULL,
    number INTEGER NOT NULL,
    active INTEGER NOT NULL CHECK (active IN (0, 1)),
    started_at INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    record TEXT NOT NULL,
    UNIQUE (project, number)
) STRICT;
CREATE INDEX rollout_by_time ON rollout (project, started_at, id);
CREATE INDEX rollout_active ON rollout (started_at, id) WHERE active = 1;

-- All columns: a value must come back bit for bit.
CREATE TABLE observation (
    rollout TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    assigned_at INTEGER NOT NULL,
    unit_kind INTEGER NOT NULL, -- the place in `UnitKind`, so that SQL and Rust order units alike
    unit TEXT NOT NULL,
    arm TEXT NOT NULL,
    stage INTEGER NOT NULL,
    value REAL,
    inference TEXT NOT NULL,
    PRIMARY KEY (rollout, sequence),
    UNIQUE (rollout, unit_kind, unit)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER observation_keeps_values BEFORE UPDATE ON observation
BEGIN SELECT RAISE(ABORT, 'the observation log is append-only'); END;

-- The first inference of each unit of a rollout, until the unit is counted.
CREATE TABLE rollout_unit (
    rollout TEXT NOT NULL,
    unit_kind INTEGER NOT NULL,
    unit TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    inference TEXT NOT NULL,
    counted INTEGER NOT NULL CHECK (counted IN (0, 1)),
    PRIMARY KEY (rollout, unit_kind, unit)
) STRICT, WITHOUT ROWID;
CREATE INDEX rollout_unit_maturing ON rollout_unit (rollout, started_at, unit_kind, unit) WHERE counted = 0;

CREATE TABLE loss (
    rollout TEXT NOT NULL,
    instance TEXT NOT NULL,
    arm TEXT NOT NULL,
    total INTEGER NOT NULL,
    PRIMARY KEY (rollout, instance, arm)
) STRICT, WITHOUT ROWID;

CREATE TABLE quarantine (
    project TEXT NOT NULL,
    environment TEXT NOT NULL,
    prompt TEXT NOT NULL,
    version TEXT NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (project, environment, prompt, version)
) STRICT;

CREATE TABLE api_key (
    id TEXT PRIMARY KEY NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    project TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    record TEXT NOT NULL
) STRICT;
CREATE INDEX api_key_by_project ON api_key (project, created_at, id);

CREATE TABLE inference (
    id TEXT PRIMARY KEY NOT NULL,
    project TEXT NOT NULL,
    environment TEXT NOT NULL,
    prompt TEXT,
    version TEXT,
    rollout TEXT,
    api_key TEXT NOT NULL,
    answer_id TEXT,
    record TEXT NOT NULL -- without the content
) STRICT;
CREATE INDEX inference_by_prompt ON inference (project, environment, prompt, id);
CREATE INDEX inference_by_rollout ON inference (rollout, id) WHERE rollout IS NOT NULL;
CREATE INDEX inference_by_answer ON inference (api_key, answer_id, id) WHERE answer_id IS NOT NULL;

-- Apart from the record, so that lists and revisions never carry it along.
CREATE TABLE inference_content (
    inference TEXT PRIMARY KEY NOT NULL REFERENCES inference (id) ON DELETE CASCADE,
    input TEXT NOT NULL,
    output TEXT NOT NULL
) STRICT;

-- An outcome waits, with `inference` empty, until the inference it names arrives.
CREATE TABLE outcome (
    id TEXT PRIMARY KEY NOT NULL,
    api_key TEXT NOT NULL,
    inference TEXT REFERENCES inference (id) ON DELETE CASCADE,
    target_inference TEXT,
    target_answer TEXT,
    at INTEGER NOT NULL,
    record TEXT NOT NULL,
    CHECK ((target_inference IS NULL) <> (target_answer IS NULL))
) STRICT;
CREATE INDEX outcome_by_inference ON outcome (inference, at, id) WHERE inference IS NOT NULL;
CREATE INDEX outcome_waiting_for_inference ON outcome (target_inference, api_key)
    WHERE inference IS NULL AND target_inference IS NOT NULL;
CREATE INDEX outcome_waiting_for_answer ON outcome (api_key, target_answer)
    WHERE inference IS NULL AND target_answer IS NOT NULL;

-- Inferences of one minute, summed; an empty text is "none". Written in the transaction of the rows it sums.
CREATE TABLE rollup (
    project TEXT NOT NULL,
    environment TEXT NOT NULL,
    minute INTEGER NOT NULL, -- its start
    prompt TEXT NOT NULL,
    version TEXT NOT NULL,
    rollout TEXT NOT NULL,
    arm TEXT NOT NULL,
    inferences INTEGER NOT NULL,
    pass INTEGER NOT NULL,
    fail INTEGER NOT NULL,
    unknown INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cost TEXT NOT NULL, -- decimal, added in Rust: SQL would round
    unpriced INTEGER NOT NULL,
    duration_us INTEGER NOT NULL,
    PRIMARY KEY (project, environment, minute, prompt, version, rollout, arm)
) STRICT, WITHOUT ROWID;
CREATE INDEX rollup_by_rollout ON rollup (rollout, minute) WHERE rollout <> '';
