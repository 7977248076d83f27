-- Collections of faces. `n` is never used twice, so a token or a row of a deleted collection never
-- means a later one of the same name.
CREATE TABLE collections (
    n          INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT    NOT NULL UNIQUE,
    namespace  TEXT    NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;

-- `embedding` is 128 little-endian f32. No picture is kept.
CREATE TABLE faces (
    n                 INTEGER PRIMARY KEY AUTOINCREMENT,
    collection        INTEGER NOT NULL REFERENCES collections (n) ON DELETE CASCADE,
    face_id           TEXT    NOT NULL UNIQUE,
    image_id          TEXT    NOT NULL,
    external_image_id TEXT,
    box_left          REAL    NOT NULL,
    box_top           REAL    NOT NULL,
    box_width         REAL    NOT NULL,
    box_height        REAL    NOT NULL,
    confidence        REAL    NOT NULL,
    embedding         BLOB    NOT NULL CHECK (length(embedding) = 512)
) STRICT;

CREATE INDEX faces_of_a_collection ON faces (collection, n);
