//! What was found in a clip, as Avro object container files: its tracks and its labels.

use crate::{BoundingBox, Malformed, TimeBase, codec};
use serde::{Deserialize, Serialize};

/// The faces of a clip, linked over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tracks {
    pub video_id: String,
    pub run_id: String,
    pub index: i32,
    pub time_base: TimeBase,
    /// Mean ticks per frame.
    pub frame_ticks: i64,
    /// The detector told that it looked at a frame in so many milliseconds at least, 0 being every frame, and at
    /// every frame where faces come and go; `None` where it told nothing.
    #[serde(default)]
    pub looked_every_ms: Option<i64>,
    pub tracks: Vec<Track>,
}

/// One face over time: a box between two points is interpolated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Track {
    pub id: i32,
    /// Ticks of the source; strictly rising.
    pub points: Vec<TrackPoint>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TrackPoint {
    /// Ticks of the source.
    pub pts: i64,
    pub region: BoundingBox,
    /// 0 to 100; 0 for points no sighting gave.
    pub confidence: f32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Labels {
    pub video_id: String,
    pub run_id: String,
    pub index: i32,
    pub labels: Vec<Label>,
}

/// A thing seen at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Label {
    /// Milliseconds from the start of the recording.
    pub at_ms: i64,
    pub name: String,
    /// Rekognition's taxonomy, e.g. `Vehicle` for `Car`.
    pub parents: Vec<String>,
    /// 0 to 100.
    pub confidence: f32,
    pub regions: Vec<BoundingBox>,
}

impl Tracks {
    /// An Avro object container file. The same tracks are always the same bytes.
    ///
    /// # Errors
    /// A type and a schema that do not agree.
    pub fn to_avro(&self) -> Result<Vec<u8>, Malformed> {
        codec::to_container(codec::TRACKS, self)
    }

    /// # Errors
    /// Bytes that are no tracks of any version.
    pub fn from_avro(bytes: &[u8]) -> Result<Self, Malformed> {
        codec::from_container(codec::TRACKS, bytes)
    }

    /// Where faces are on the frame at `pts`: one box per track that covers it.
    ///
    /// A track covers its first to its last point, both included, and half a frame beyond, because
    /// a detector's times may be rounded. Between two points the box is interpolated linearly;
    /// before the first and after the last it is theirs.
    #[must_use]
    pub fn regions_at(&self, pts: i64) -> Vec<BoundingBox> {
        let slack = self.frame_ticks.max(0) / 2;
        self.tracks.iter().filter_map(|track| track.region_at(pts, slack)).collect()
    }
}

impl Track {
    /// The box at `pts`, if the track covers it to within `slack` ticks.
    #[must_use]
    pub fn region_at(&self, pts: i64, slack: i64) -> Option<BoundingBox> {
        let (first, last) = (self.points.first()?, self.points.last()?);
        if pts < first.pts.saturating_sub(slack) || pts > last.pts.saturating_add(slack) {
            return None;
        }
        let after = self.points.partition_point(|point| point.pts < pts);
        match (after.checked_sub(1).and_then(|i| self.points.get(i)), self.points.get(after)) {
            (Some(a), Some(b)) => {
                let part = (pts - a.pts) as f64 / (b.pts - a.pts).max(1) as f64;
                Some(a.region.towards(&b.region, part as f32))
            }
            (Some(end), None) | (None, Some(end)) => Some(end.region),
            (None, None) => None,
        }
    }
}

impl Labels {
    /// An Avro object container file. The same labels are always the same bytes.
    ///
    /// # Errors
    /// A type and a schema that do not agree.
    pub fn to_avro(&self) -> Result<Vec<u8>, Malformed> {
        codec::to_container(codec::LABELS, self)
    }

    /// # Errors
    /// Bytes that are no labels of any version.
    pub fn from_avro(bytes: &[u8]) -> Result<Self, Malformed> {
        codec::from_container(codec::LABELS, bytes)
    }
}
