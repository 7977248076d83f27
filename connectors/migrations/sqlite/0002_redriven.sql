-- Dead letters that were sent back to their processors. A row may come before its dead letter's.

CREATE TABLE redriven (
    topic     TEXT    NOT NULL,
    partition INTEGER NOT NULL,
    "offset"  INTEGER NOT NULL,
    at_ms     INTEGER NOT NULL,
    PRIMARY KEY (topic, partition, "offset")
) STRICT, WITHOUT ROWID;

-- Rows of uploads whose source was never seen, and so has not given them their id: they stand for
-- dead letters, and for nothing once those were sent back.
ALTER TABLE videos ADD COLUMN stand_in INTEGER NOT NULL DEFAULT 0;

CREATE VIEW shown_videos AS
SELECT * FROM videos
WHERE stand_in = 0
   OR EXISTS (SELECT 1 FROM dead_letters
              WHERE dead_letters.video_id = videos.video_id
                AND (topic, partition, "offset") NOT IN
                    (SELECT topic, partition, "offset" FROM redriven));
