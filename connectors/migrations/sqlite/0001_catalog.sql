-- What events told, one row per thing told. What a user sees of a video (its state, its current
-- run, its stages) is derived when it is read, so the order of events cannot matter.

CREATE TABLE videos (
    video_id       TEXT    NOT NULL PRIMARY KEY,
    -- 0 until its upload is known: the row stands for facts that came first.
    known          INTEGER NOT NULL,
    owner          TEXT    NOT NULL,
    assessment     TEXT    NOT NULL,
    title          TEXT    NOT NULL,
    visibility     TEXT    NOT NULL,
    recorded_at_ms INTEGER NOT NULL,
    uploaded_at_ms INTEGER NOT NULL,
    bytes          INTEGER
) STRICT;

CREATE INDEX videos_newest ON videos (uploaded_at_ms DESC, video_id);
CREATE INDEX videos_of_owner ON videos (owner, uploaded_at_ms DESC, video_id);
CREATE INDEX videos_of_assessment ON videos (assessment, uploaded_at_ms DESC, video_id);

CREATE TABLE progress (
    video_id TEXT    NOT NULL REFERENCES videos (video_id),
    run_id   TEXT    NOT NULL,
    stage    TEXT    NOT NULL,
    -- The clip, or 0 where a stage works on the whole video.
    part     INTEGER NOT NULL,
    total    INTEGER,
    frames   INTEGER NOT NULL,
    at_ms    INTEGER NOT NULL,
    PRIMARY KEY (video_id, run_id, stage, part)
) STRICT, WITHOUT ROWID;

CREATE TABLE recordings (
    video_id    TEXT    NOT NULL REFERENCES videos (video_id),
    run_id      TEXT    NOT NULL,
    bucket      TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    receipt_key TEXT    NOT NULL,
    duration_ms INTEGER NOT NULL,
    bytes       INTEGER NOT NULL,
    at_ms       INTEGER NOT NULL,
    PRIMARY KEY (video_id, run_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE searchable (
    video_id TEXT    NOT NULL REFERENCES videos (video_id),
    run_id   TEXT    NOT NULL,
    at_ms    INTEGER NOT NULL,
    PRIMARY KEY (video_id, run_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE dead_letters (
    topic     TEXT    NOT NULL,
    partition INTEGER NOT NULL,
    "offset"  INTEGER NOT NULL,
    processor TEXT    NOT NULL,
    video_id  TEXT REFERENCES videos (video_id),
    reason    TEXT    NOT NULL,
    detail    TEXT    NOT NULL,
    at_ms     INTEGER NOT NULL,
    PRIMARY KEY (topic, partition, "offset")
) STRICT, WITHOUT ROWID;

CREATE INDEX dead_letters_newest ON dead_letters (at_ms DESC);
CREATE INDEX dead_letters_of_video ON dead_letters (video_id, at_ms DESC);
