//! `clips-ready` → `faces-detected`: finds the faces of a clip and links them into tracks.

use crate::{
    clip_index, clip_times,
    tracks::{self, Rules, Sighting},
};
use engine::{Effect, Input, Object, Outcome, Processor};
use ports::{ObjectRef, Poison, Refusal};
use schemas::{BoundingBox, ClipsReady, FacesDetected, TimeBase, Track, Tracks, ids, keys};
use std::time::Duration;

/// Finds the faces of a clip, margins included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FindFaces {
    pub clip: ObjectRef,
    /// The same for the same question: at most 64 letters, digits, `-` and `_`.
    pub token: String,
    /// The tracks of an older run, to be taken instead of looked for.
    pub known: Option<ObjectRef>,
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

/// What a detector has seen of a clip.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SeenFaces {
    pub faces: Vec<SeenFace>,
    /// See [`Tracks::looked_every_ms`].
    pub looked_every_ms: Option<i64>,
}

/// The faces of a clip.
#[derive(Debug, Clone, PartialEq)]
pub enum FoundFaces {
    Seen(SeenFaces),
    /// Those of an older run of the video, linked already.
    Known(Tracks),
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
        clip_times(&input.event)?;
        let run = format!("{}/{}", input.video_id, input.run_id);
        Ok(FindFaces {
            clip: ObjectRef::new(&input.bucket, &input.clip_key),
            token: ids::output(&run, Self::NAME, index as usize),
            known: input.faces_of.as_ref().map(|run_id| {
                ObjectRef::new(&input.bucket, keys::tracks(&input.video_id, run_id, index))
            }),
        })
    }

    fn conclude(
        &self,
        input: Input<ClipsReady>,
        found: FoundFaces,
    ) -> Result<Outcome<FacesDetected>, Refusal> {
        let event = input.event;
        let time_base = clip_times(&event)?;
        let (faces, linked, looked_every_ms) = match found {
            FoundFaces::Seen(seen) => {
                let (faces, linked) = link(&event, time_base, &seen);
                (faces, linked, seen.looked_every_ms)
            }
            FoundFaces::Known(known) => {
                if (known.index, known.time_base) != (event.index, time_base) {
                    return Err(Poison::new(
                        "clips_differ",
                        format!(
                            "the faces to be taken over are of clip {} and not of clip {}: replay from cut",
                            known.index, event.index
                        ),
                    )
                    .into());
                }
                let points = known.tracks.iter().flat_map(|track| &track.points);
                let sure = event.face_threshold * 100.0;
                let faces = points.filter(|point| point.confidence >= sure).count();
                // What the threshold was then is not known: the check looks with its own.
                (faces, known.tracks, None)
            }
        };
        let faces = i32::try_from(faces).unwrap_or(i32::MAX);
        let count = i32::try_from(linked.len()).unwrap_or(i32::MAX);
        let tracks_key = keys::tracks(&event.video_id, &event.run_id, clip_index(event.index)?);
        let object = Tracks {
            video_id: event.video_id.clone(),
            run_id: event.run_id.clone(),
            index: event.index,
            time_base,
            frame_ticks: event.frame_ticks,
            looked_every_ms,
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
            replay: event.replay,
        })
        .storing(Object {
            to: ObjectRef::new(event.bucket, tracks_key),
            content_type: "application/avro",
            body: object.to_avro()?.into(),
        }))
    }

    fn time_limit(&self, input: &Input<ClipsReady>) -> Duration {
        ports::time_for_frames(input.core_frames.into())
    }

    fn video_id(&self, input: &Input<ClipsReady>) -> Option<String> {
        Some(input.video_id.clone())
    }
}

/// How many sure sightings there were, and the tracks they make.
fn link(event: &ClipsReady, time_base: TimeBase, seen: &SeenFaces) -> (usize, Vec<Track>) {
    let sightings = sightings(event, time_base, &seen.faces);
    let ClipsReady { frame_ticks, extend_ms, face_threshold, .. } = *event;
    let rules = Rules::of(time_base, frame_ticks, extend_ms, face_threshold, seen.looked_every_ms);
    let sure = sightings.iter().filter(|sighting| sighting.confidence >= rules.sure).count();
    (sure, tracks::track(sightings, rules))
}

/// What was seen, in the source's time. Only what is below the run's threshold, and too unsure to be
/// a doubtful sighting even, is left out.
fn sightings(event: &ClipsReady, time_base: TimeBase, seen: &[SeenFace]) -> Vec<Sighting> {
    let sure = event.face_threshold * 100.0;
    let least = sure * tracks::DOUBTFUL;
    seen.iter()
        // A face whose confidence is no number is still a face.
        .filter(|face| face.confidence.is_nan() || face.confidence >= least)
        .map(|face| Sighting {
            pts: event
                .margin_start_pts
                .saturating_add(time_base.to_ticks(face.at_ms))
                .clamp(event.margin_start_pts, event.margin_end_pts),
            region: face.region.clamped(),
            confidence: if face.confidence.is_nan() {
                sure.max(LEAST_CONFIDENCE)
            } else {
                face.confidence.clamp(LEAST_CONFIDENCE, 100.0)
            },
        })
        .collect()
}

/// Not 0, which marks the points no sighting gave.
const LEAST_CONFIDENCE: f32 = 0.1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{example, reason};

    fn seen(at_ms: i64, left: f32) -> SeenFace {
        let region = BoundingBox { left, top: 0.4, width: 0.1, height: 0.2 };
        SeenFace { at_ms, region, confidence: 90.0 }
    }

    /// The answer of a detector that does not tell how closely it looked.
    fn of(faces: Vec<SeenFace>) -> FoundFaces {
        FoundFaces::Seen(SeenFaces { faces, looked_every_ms: None })
    }

    /// The tracks a clip's answer comes to.
    fn tracks(input: Input<ClipsReady>, faces: Vec<SeenFace>) -> Tracks {
        let outcome = Detect.conclude(input, of(faces)).unwrap();
        let [object] = &outcome.objects[..] else { panic!("{outcome:?}") };
        let tracks = Tracks::from_avro(&object.body).unwrap();
        assert_eq!(object.to.key, outcome.events[0].tracks_key);
        assert_eq!(outcome.events[0].tracks as usize, tracks.tracks.len());
        tracks
    }

    /// The third clip of three: its margin starts at 18 s, its core at 20 s, 25 frames a second.
    fn third() -> Input<ClipsReady> {
        example(1)
    }

    #[test]
    fn the_times_of_faces_become_ticks_of_the_source() {
        let tracks = tracks(third(), vec![seen(5000, 0.3)]);
        let times: Vec<_> = tracks.tracks[0].points.iter().map(|point| point.pts).collect();
        // 23 s, with 1 s and 0.4 s before and after it.
        let ticks = [22.0, 22.6, 23.0, 23.4, 24.0].map(|s: f64| (s * 12_800.0).round() as i64);
        assert_eq!(times, ticks);
        assert_eq!(tracks.time_base, TimeBase { num: 1, den: 12_800 });
    }

    #[test]
    fn a_face_first_seen_one_frame_before_the_border_is_masked_from_the_first_frame_of_the_core() {
        let (last_of_margin, first_of_core) = (254 * 1000 + 1, 256_000);
        let tracks = tracks(third(), vec![seen(1960, 0.3)]);
        assert!(tracks.tracks[0].points[0].pts < last_of_margin);
        assert_eq!(tracks.regions_at(first_of_core).len(), 1);
    }

    #[test]
    fn a_face_first_seen_one_frame_after_the_border_is_masked_on_the_last_frame_of_the_core() {
        // The first clip's core ends at 10 s; its margin goes on to 12 s.
        let tracks = tracks(example(0), vec![seen(10_040, 0.3), seen(10_080, 0.3)]);
        let last_frame_of_core = 128_000 - 512;
        let [mask] = tracks.regions_at(last_frame_of_core)[..] else { panic!("{tracks:?}") };
        assert!(mask.left <= 0.3 && mask.right() >= 0.4, "{mask:?}");
    }

    #[test]
    fn sightings_below_the_threshold_are_left_out_and_no_others() {
        let confidences = [49.0, 50.0, 0.0, 100.0, f32::NAN, 1e9];
        let faces = confidences.map(|confidence| SeenFace { confidence, ..seen(0, 0.3) });
        let outcome = Detect.conclude(third(), of(faces.to_vec())).unwrap();
        assert_eq!(outcome.events[0].faces, 4);
    }

    #[test]
    fn a_face_at_the_border_of_the_picture_is_cut_and_one_that_is_no_box_is_everywhere() {
        let odd = |left, width| SeenFace {
            region: BoundingBox { left, top: 0.4, width, height: 0.2 },
            ..seen(5000, 0.0)
        };
        let found = tracks(third(), vec![odd(0.95, 0.1), odd(-0.05, 0.1), odd(f32::NAN, 0.1)]);
        let regions = found.regions_at(23 * 12_800);
        assert_eq!(regions.len(), 3);
        let inside = |r: &BoundingBox| r.left >= 0.0 && r.right() <= 1.0 && r.area() > 0.0;
        assert!(regions.iter().all(inside), "{regions:?}");
        assert!(regions.contains(&BoundingBox::WHOLE));
    }

    #[test]
    fn a_time_outside_the_clip_does_not_lose_the_face() {
        let found = tracks(third(), vec![seen(i64::MIN, 0.1), seen(i64::MAX, 0.8)]);
        assert_eq!(found.tracks.len(), 2);
    }

    #[test]
    fn the_same_answer_gives_the_same_bytes_in_whatever_order() {
        let mut faces: Vec<_> = (0..50).map(|n| seen(n * 40, 0.1 + n as f32 / 200.0)).collect();
        faces.extend((0..50).map(|n| seen(n * 40, 0.7)));
        let mut reversed = faces.clone();
        reversed.reverse();
        let bytes = |faces| Detect.conclude(third(), of(faces)).unwrap().objects;
        assert_eq!(bytes(faces), bytes(reversed));
    }

    #[test]
    fn the_faces_of_an_older_run_are_taken_over_as_they_are() {
        let mut input = third();
        input.event.faces_of = Some("older".to_owned());
        let effect = Detect.plan(&input).unwrap();
        let at = keys::tracks(&input.video_id, "older", 2);
        assert_eq!(effect.known, Some(ObjectRef::new(&input.bucket, at)));
        let older = tracks(third(), vec![seen(5000, 0.3), seen(5040, 0.3)]);
        let known = Tracks { run_id: "older".to_owned(), ..older.clone() };
        let outcome = Detect.conclude(input, FoundFaces::Known(known.clone())).unwrap();
        assert_eq!(Tracks::from_avro(&outcome.objects[0].body).unwrap(), older);
        assert_eq!((outcome.events[0].tracks, outcome.events[0].faces), (1, 2));
        let other = Tracks { index: 7, ..known };
        let refused = Detect.conclude(third(), FoundFaces::Known(other)).unwrap_err();
        assert_eq!(reason(&refused), "clips_differ");
    }

    #[test]
    fn how_closely_the_detector_looked_is_kept_and_a_face_seen_once_is_masked_for_less() {
        let mut ends = Vec::new();
        for looked_every_ms in [None, Some(9000), Some(150), Some(0)] {
            let found =
                FoundFaces::Seen(SeenFaces { faces: vec![seen(5000, 0.3)], looked_every_ms });
            let outcome = Detect.conclude(third(), found).unwrap();
            let tracks = Tracks::from_avro(&outcome.objects[0].body).unwrap();
            assert_eq!(tracks.looked_every_ms, looked_every_ms);
            ends.push(tracks.tracks[0].points.last().unwrap().pts - 23 * 12_800);
        }
        assert_eq!(ends, [12_800, 12_800, 2_560, 2_560]);
        let mut replayed = third();
        replayed.event.faces_of = Some("older".to_owned());
        let known = Tracks { looked_every_ms: Some(150), ..tracks(third(), vec![seen(5000, 0.3)]) };
        let outcome = Detect.conclude(replayed, FoundFaces::Known(known)).unwrap();
        let tracks = Tracks::from_avro(&outcome.objects[0].body).unwrap();
        assert_eq!(tracks.looked_every_ms, None);
    }

    #[test]
    fn a_clip_without_faces_is_a_result_too() {
        assert_eq!(tracks(third(), Vec::new()).tracks, []);
    }

    #[test]
    fn a_clip_whose_times_make_no_sense_is_refused() {
        let changes: [fn(&mut ClipsReady); 6] = [
            |e| e.time_base_num = 0,
            |e| e.time_base_den = -1,
            |e| e.frame_ticks = 0,
            |e| e.core_end_pts = e.core_start_pts - 1,
            |e| e.margin_start_pts = e.core_start_pts + 1,
            |e| e.margin_end_pts = i64::MAX,
        ];
        for change in changes {
            let mut input = third();
            change(&mut input.event);
            assert_eq!(reason(&Detect.plan(&input).unwrap_err()), "malformed_event");
            let found = of(vec![seen(0, 0.1)]);
            assert_eq!(reason(&Detect.conclude(input, found).unwrap_err()), "malformed_event");
        }
    }
}
