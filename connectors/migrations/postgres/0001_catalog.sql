-- What events told, one row per thing told: the tables and views of ../sqlite, as they are there
-- after all its migrations, with the same columns and the same meaning.
--
-- Text is compared byte by byte, as SQLite does: a server's language must change neither the order
-- of a list nor which of two uploads counts as the earlier.

CREATE TABLE videos (
    video_id       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    -- 0 until its upload is known: the row stands for facts that came first.
    known          INTEGER          NOT NULL,
    owner          TEXT COLLATE "C" NOT NULL,
    assessment     TEXT COLLATE "C" NOT NULL,
    title          TEXT COLLATE "C" NOT NULL,
    visibility     TEXT COLLATE "C" NOT NULL,
    recorded_at_ms BIGINT           NOT NULL,
    uploaded_at_ms BIGINT           NOT NULL,
    bytes          BIGINT,
    stand_in       INTEGER          NOT NULL DEFAULT 0
);

CREATE INDEX videos_newest ON videos (uploaded_at_ms DESC, video_id);
CREATE INDEX videos_of_owner ON videos (owner, uploaded_at_ms DESC, video_id);
CREATE INDEX videos_of_assessment ON videos (assessment, uploaded_at_ms DESC, video_id);

CREATE TABLE progress (
    video_id TEXT COLLATE "C" NOT NULL REFERENCES videos (video_id),
    run_id   TEXT COLLATE "C" NOT NULL,
    stage    TEXT COLLATE "C" NOT NULL,
    -- The clip, or 0 where a stage works on the whole video.
    part     BIGINT           NOT NULL,
    total    BIGINT,
    frames   BIGINT           NOT NULL,
    at_ms    BIGINT           NOT NULL,
    PRIMARY KEY (video_id, run_id, stage, part)
);

CREATE TABLE recordings (
    video_id    TEXT COLLATE "C" NOT NULL REFERENCES videos (video_id),
    run_id      TEXT COLLATE "C" NOT NULL,
    bucket      TEXT COLLATE "C" NOT NULL,
    key         TEXT COLLATE "C" NOT NULL,
    receipt_key TEXT COLLATE "C" NOT NULL,
    duration_ms BIGINT           NOT NULL,
    bytes       BIGINT           NOT NULL,
    at_ms       BIGINT           NOT NULL,
    PRIMARY KEY (video_id, run_id)
);

CREATE TABLE searchable (
    video_id TEXT COLLATE "C" NOT NULL REFERENCES videos (video_id),
    run_id   TEXT COLLATE "C" NOT NULL,
    at_ms    BIGINT           NOT NULL,
    PRIMARY KEY (video_id, run_id)
);

CREATE TABLE dead_letters (
    topic     TEXT COLLATE "C" NOT NULL,
    partition INTEGER          NOT NULL,
    "offset"  BIGINT           NOT NULL,
    processor TEXT COLLATE "C" NOT NULL,
    video_id  TEXT COLLATE "C" REFERENCES videos (video_id),
    reason    TEXT COLLATE "C" NOT NULL,
    detail    TEXT COLLATE "C" NOT NULL,
    at_ms     BIGINT           NOT NULL,
    PRIMARY KEY (topic, partition, "offset")
);

CREATE INDEX dead_letters_newest ON dead_letters (at_ms DESC);
CREATE INDEX dead_letters_of_video ON dead_letters (video_id, at_ms DESC);

-- Dead letters that were sent back to their processors. A row may come before its dead letter's.
CREATE TABLE redriven (
    topic     TEXT COLLATE "C" NOT NULL,
    partition INTEGER          NOT NULL,
    "offset"  BIGINT           NOT NULL,
    at_ms     BIGINT           NOT NULL,
    PRIMARY KEY (topic, partition, "offset")
);

CREATE VIEW shown_videos AS
SELECT * FROM videos
WHERE stand_in = 0
   OR EXISTS (SELECT 1 FROM dead_letters
              WHERE dead_letters.video_id = videos.video_id
                AND NOT EXISTS (SELECT 1 FROM redriven
                                WHERE redriven.topic = dead_letters.topic
                                  AND redriven.partition = dead_letters.partition
                                  AND redriven."offset" = dead_letters."offset"));
