//! `clips-ready` → `faces-detected`: finds the faces of a clip and links them into tracks.

use crate::{
    clip_index,
    tracks::{self, Sighting},
};
use engine::{Effect, Input, Object, Outcome, Processor};
use ports::{ObjectRef, Refusal};
use schemas::{BoundingBox, ClipsReady, FacesDetected, TimeBase, Tracks, ids, keys};

/// Finds the faces of a clip, margins included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FindFaces {
    pub clip: ObjectRef,
    /// The same for the same question: at most 64 letters, digits, `-` and `_`.
    pub token: String,
}

/// A face on one frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SeenFace {
    /// Milliseconds from the clip's first frame.
    pub at_ms: i64,
    pub region: BoundingBox,
    /// 0 to 100.
    pub confidence: f32,
}

#[derive(Debug, Clone, PartialEq)]
pub struct FoundFaces {
    pub faces: Vec<SeenFace>,
}

impl Effect for FindFaces {
    type Answer = FoundFaces;
}

/// The processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detect;

impl Processor for Detect {
    const NAME: &'static str = "detect";

    type In = ClipsReady;
    type Out = FacesDetected;
    type Effect = FindFaces;

    fn plan(&self, input: &Input<ClipsReady>) -> Result<FindFaces, Refusal> {
        let index = clip_index(input.index)?;
        let run = format!("{}/{}", input.video_id, input.run_id);
        Ok(FindFaces {
            clip: ObjectRef::new(&input.bucket, &input.clip_key),
            token: ids::output(&run, Self::NAME, index as usize),
        })
    }

    fn conclude(
        &self,
        input: Input<ClipsReady>,
        found: FoundFaces,
    ) -> Result<Outcome<FacesDetected>, Refusal> {
        let event = input.event;
        let sightings = sightings(&event, &found);
        let faces = i32::try_from(sightings.len()).unwrap_or(i32::MAX);
        let time_base = TimeBase { num: event.time_base_num, den: event.time_base_den };
        let linked = tracks::track(
            sightings,
            tracks::Rules {
                longest_gap: time_base.to_ticks(tracks::LONGEST_GAP_MS),
                frame: event.frame_ticks,
                extend: time_base.to_ticks(event.extend_ms.clamp(0, tracks::LONGEST_EXTENSION_MS)),
                follow: time_base.to_ticks(tracks::FOLLOW_MS),
            },
        );
        let count = i32::try_from(linked.len()).unwrap_or(i32::MAX);
        let tracks_key = keys::tracks(&event.video_id, &event.run_id, clip_index(event.index)?);
        let object = Tracks {
            video_id: event.video_id.clone(),
            run_id: event.run_id.clone(),
            index: event.index,
            time_base,
            frame_ticks: event.frame_ticks,
            tracks: linked,
        };
        Ok(Outcome::event(FacesDetected {
            video_id: event.video_id,
            run_id: event.run_id,
            owner: event.owner,
            assessment: event.assessment,
            visibility: event.visibility,
            index: event.index,
            count: event.count,
            bucket: event.bucket.clone(),
            clip_key: event.clip_key,
            manifest_key: event.manifest_key,
            tracks_key: tracks_key.clone(),
            tracks: count,
            faces,
            core_frames: event.core_frames,
        })
        .storing(Object {
            to: ObjectRef::new(event.bucket, tracks_key),
            content_type: "application/avro",
            body: object.to_avro()?.into(),
        }))
    }

    fn video_id(&self, input: &Input<ClipsReady>) -> Option<String> {
        Some(input.video_id.clone())
    }
}

/// What was seen, in the source's time. Only the run's threshold leaves a sighting out.
fn sightings(event: &ClipsReady, found: &FoundFaces) -> Vec<Sighting> {
    let time_base = TimeBase { num: event.time_base_num, den: event.time_base_den };
    let least = event.face_threshold * 100.0;
    found
        .faces
        .iter()
        .filter(|face| face.confidence >= least)
        .map(|face| Sighting {
            pts: event.margin_start_pts.saturating_add(time_base.to_ticks(face.at_ms)),
            region: face.region.clamped(),
            confidence: face.confidence,
        })
        .collect()
}
