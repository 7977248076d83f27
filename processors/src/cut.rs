//! `video-uploaded` → `clips-ready`: footage becomes clips with margins, and a manifest.

use crate::visibility;
use engine::{Effect, Input, Outcome, Processor};
use ports::{ObjectRef, Poison, Refusal};
use schemas::{ClipEntry, ClipsReady, Manifest, Masking, VideoUploaded, keys};
use std::time::Duration;

/// Checks a source, cuts it into clips, uploads them, and writes the manifest once.
///
/// The connector reads the source's ETag, derives the video id where there is none
/// ([`schemas::ids::video`]) and the run id ([`schemas::ids::run`] over [`rules`]). A manifest
/// that is already there belongs to the same run, wins, and is the answer.
#[derive(Debug, Clone, PartialEq)]
pub struct CutClips {
    pub source: ObjectRef,
    pub video_id: Option<String>,
    pub owner: String,
    pub assessment: String,
    pub title: String,
    pub visibility: String,
    /// Milliseconds since 1970.
    pub recorded_at_ms: i64,
    /// For [`Manifest::run_order`].
    pub run_order: i64,
    /// Where clips and manifest go.
    pub bucket: String,
    pub clip_seconds: f64,
    /// At least this much is looked at on both sides of a clip.
    pub margin_seconds: f64,
    pub masking: Masking,
    pub replay: u32,
    /// Runs whose faces and labels are taken over. They must have the same source and clips, else it
    /// is poison `clips_differ`; the faces come with the threshold that they were found with.
    pub faces_of: Option<String>,
    pub labels_of: Option<String>,
}

impl Effect for CutClips {
    type Answer = Manifest;
}

/// All that makes two runs of one source differ, as one canonical text.
#[must_use]
pub fn rules(cut: &CutClips) -> String {
    let Masking { blur, style, detector, threshold, verify_threshold, extend_ms } = &cut.masking;
    // Debug text of strings is quoted and escaped, so no value can look like its neighbour.
    let mut rules = format!(
        "cut 1, clip {} s, margin {} s, blur {blur:?}, style {style:?}, detector {detector:?}, \
         threshold {threshold}, verified at {verify_threshold}, extend {extend_ms} ms",
        cut.clip_seconds, cut.margin_seconds,
    );
    for (what, run) in [("faces", &cut.faces_of), ("labels", &cut.labels_of)] {
        if let Some(run) = run {
            rules += &format!(", {what} of {run:?}");
        }
    }
    rules
}

/// The processor, with what an operator may set.
#[derive(Debug, Clone, PartialEq)]
pub struct Cut {
    /// Buckets a source may lie in.
    pub allowed_buckets: Vec<String>,
    /// The mill's own bucket, for everything under `work/`.
    pub bucket: String,
    pub clip_seconds: f64,
    pub margin_seconds: f64,
    /// `blur` is replaced by each event's wish.
    pub masking: Masking,
}

impl Processor for Cut {
    const NAME: &'static str = "cut";

    type In = VideoUploaded;
    type Out = ClipsReady;
    type Effect = CutClips;

    fn plan(&self, input: &Input<VideoUploaded>) -> Result<CutClips, Refusal> {
        let event = &input.event;
        if !self.allowed_buckets.contains(&event.bucket) {
            return Err(Poison::new(
                "foreign_bucket",
                format!(
                    "bucket {:?} is not among the allowed ones: upload to one of {:?} or allow it in \
                     store.allowed_buckets",
                    event.bucket, self.allowed_buckets
                ),
            )
            .into());
        }
        for (name, value) in [("key", &event.key), ("owner", &event.owner)] {
            if value.trim().is_empty() {
                return Err(Poison::new(
                    "malformed_event",
                    format!("{name} is empty: the producer must name it"),
                )
                .into());
            }
        }
        if let Some(id) = &event.video_id
            && keys::safe(id) != *id
        {
            return Err(Poison::new(
                "malformed_event",
                format!(
                    "video_id {id:?} is no id: use at most 40 letters, digits, - and _, or leave it out"
                ),
            )
            .into());
        }
        let replay = u32::try_from(event.replay).map_err(|_| {
            Poison::new(
                "malformed_event",
                format!("replay {} is negative: count replays from 0", event.replay),
            )
        })?;
        let masking =
            Masking { blur: schemas::Blur::from_word(&event.blur), ..self.masking.clone() };
        // A mask reaches over a clip's border only if what casts it has been looked at.
        let margin_seconds = self.margin_seconds.max(masking.extend_ms as f64 / 1000.0);
        Ok(CutClips {
            source: ObjectRef::new(&event.bucket, &event.key),
            video_id: event.video_id.clone(),
            owner: event.owner.clone(),
            assessment: event.assessment.clone(),
            title: event.title.clone(),
            visibility: visibility(&event.visibility),
            recorded_at_ms: event.recorded_at_ms.unwrap_or(input.at_ms),
            run_order: input.at_ms.saturating_add(i64::from(replay)),
            bucket: self.bucket.clone(),
            clip_seconds: self.clip_seconds,
            margin_seconds,
            masking,
            replay,
            faces_of: event.faces_of.clone(),
            labels_of: event.labels_of.clone(),
        })
    }

    fn conclude(
        &self,
        _: Input<VideoUploaded>,
        manifest: Manifest,
    ) -> Result<Outcome<ClipsReady>, Refusal> {
        if manifest.clips.is_empty() {
            return Err(Poison::new(
                "no_frames",
                "the source has no picture to cut: upload a file with a video stream",
            )
            .into());
        }
        let events = manifest
            .clips
            .iter()
            .map(|clip| self.ready(&manifest, clip))
            .collect::<Result<_, _>>()?;
        Ok(Outcome { events, objects: Vec::new() })
    }

    fn time_limit(&self, input: &Input<VideoUploaded>) -> Duration {
        ports::time_for_bytes(input.size_bytes)
    }

    fn video_id(&self, input: &Input<VideoUploaded>) -> Option<String> {
        input.video_id.clone()
    }
}

impl Cut {
    fn ready(&self, manifest: &Manifest, clip: &ClipEntry) -> Result<ClipsReady, Refusal> {
        let Manifest { video_id, run_id, .. } = manifest;
        let core_frames = small(clip.core_frames as usize, "frames")?;
        Ok(ClipsReady {
            video_id: video_id.clone(),
            run_id: run_id.clone(),
            owner: manifest.owner.clone(),
            assessment: manifest.assessment.clone(),
            title: manifest.title.clone(),
            visibility: manifest.visibility.clone(),
            recorded_at_ms: manifest.recorded_at_ms,
            index: small(clip.index as usize, "clips")?,
            count: Some(small(manifest.clips.len(), "clips")?),
            bucket: self.bucket.clone(),
            clip_key: keys::clip(video_id, run_id, clip.index),
            manifest_key: keys::manifest(video_id, run_id),
            core_frames,
            total_frames: manifest.frames,
            duration_ms: manifest.duration_ms,
            size_bytes: i64::try_from(manifest.source.bytes).unwrap_or(i64::MAX),
            time_base_num: manifest.time_base.num,
            time_base_den: manifest.time_base.den,
            start_pts: manifest.start_pts,
            margin_start_pts: clip.margin_start,
            margin_end_pts: clip.margin_end,
            core_start_pts: clip.core_start,
            core_end_pts: clip.core_end,
            frame_ticks: (clip.core_end.saturating_sub(clip.core_start)
                / i64::from(core_frames.max(1)))
            .max(1),
            face_threshold: manifest.masking.threshold,
            extend_ms: manifest.masking.extend_ms,
            faces_of: manifest.faces_of.clone(),
            labels_of: manifest.labels_of.clone(),
            replay: small(manifest.replay as usize, "replays")?,
        })
    }
}

fn small(number: usize, of: &str) -> Result<i32, Refusal> {
    i32::try_from(number).map_err(|_| {
        Poison::new("too_long", format!("{number} {of} are too many: split the recording")).into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{AT_MS, cut, example, manifest, reason};
    use schemas::Blur;

    fn refused(change: impl Fn(&mut VideoUploaded)) -> String {
        let mut input = example::<VideoUploaded>(0);
        change(&mut input.event);
        reason(&cut().plan(&input).unwrap_err()).to_owned()
    }

    #[test]
    fn a_source_in_a_foreign_bucket_is_refused() {
        assert_eq!(refused(|event| event.bucket = "elsewhere".into()), "foreign_bucket");
        assert_eq!(refused(|event| event.bucket.clear()), "foreign_bucket");
    }

    #[test]
    fn an_upload_without_key_or_owner_or_with_an_id_that_is_none_is_refused() {
        assert_eq!(refused(|event| event.key.clear()), "malformed_event");
        assert_eq!(refused(|event| event.owner = "  ".into()), "malformed_event");
        assert_eq!(refused(|event| event.replay = -1), "malformed_event");
        for id in ["", "a/b", "..", "a b", "0123456789012345678901234567890123456789x"] {
            assert_eq!(
                refused(|event| event.video_id = Some(id.into())),
                "malformed_event",
                "{id}"
            );
        }
    }

    #[test]
    fn only_the_word_none_switches_blurring_off() {
        for (word, blur) in [
            ("none", Blur::None),
            ("all", Blur::All),
            ("", Blur::All),
            ("None", Blur::All),
            ("off", Blur::All),
        ] {
            let mut input = example::<VideoUploaded>(0);
            input.event.blur = word.into();
            let effect = cut().plan(&input).unwrap();
            assert_eq!(effect.masking, Masking { blur, ..cut().masking }, "{word:?}");
        }
    }

    #[test]
    fn what_the_uploader_left_out_comes_from_the_record() {
        let effect = cut().plan(&example(1)).unwrap();
        assert_eq!((effect.video_id, effect.recorded_at_ms), (None, AT_MS));
        let effect = cut().plan(&example(2)).unwrap();
        assert_eq!((effect.recorded_at_ms, effect.run_order), (0, AT_MS + 2));
        assert_eq!(effect.visibility, "listed");
    }

    #[test]
    fn an_unknown_visibility_is_private() {
        let mut input = example::<VideoUploaded>(0);
        input.event.visibility = "Listed!".into();
        assert_eq!(cut().plan(&input).unwrap().visibility, "private");
    }

    #[test]
    fn margins_are_never_shorter_than_the_extension_of_tracks() {
        let mut cut = cut();
        cut.margin_seconds = 0.2;
        assert_eq!(cut.plan(&example(0)).unwrap().margin_seconds, 1.0);
        cut.masking.extend_ms = 100;
        assert_eq!(cut.plan(&example(0)).unwrap().margin_seconds, 0.2);
    }

    #[test]
    fn whatever_changes_the_result_changes_the_rules() {
        let plan = |change: &dyn Fn(&mut Cut)| {
            let mut cut = cut();
            change(&mut cut);
            rules(&cut.plan(&example(0)).unwrap())
        };
        let taking = |faces: Option<&str>, labels: Option<&str>| {
            let mut input = example::<VideoUploaded>(0);
            input.event.faces_of = faces.map(str::to_owned);
            input.event.labels_of = labels.map(str::to_owned);
            rules(&cut().plan(&input).unwrap())
        };
        let all = [
            plan(&|_| ()),
            plan(&|cut| cut.clip_seconds = 10.0),
            plan(&|cut| cut.margin_seconds = 2.0),
            plan(&|cut| cut.masking.style = "solid".into()),
            plan(&|cut| cut.masking.style = "solid\", detector \"x".into()),
            plan(&|cut| cut.masking.detector = "centerface".into()),
            plan(&|cut| cut.masking.threshold = 0.51),
            plan(&|cut| cut.masking.verify_threshold = 0.61),
            plan(&|cut| cut.masking.extend_ms = 999),
            rules(&cut().plan(&example(2)).unwrap()),
            taking(Some("r"), None),
            taking(Some("s"), None),
            taking(None, Some("r")),
            taking(Some("r"), Some("r")),
        ];
        for (n, one) in all.iter().enumerate() {
            assert!(!all[..n].contains(one), "{one}");
        }
        assert_eq!(plan(&|cut| cut.allowed_buckets.push("more".into())), all[0]);
    }

    #[test]
    fn every_clip_tells_what_its_run_takes_over() {
        let faces_of = Some("older".to_owned());
        let manifest = Manifest { replay: 3, faces_of: faces_of.clone(), ..manifest() };
        for event in cut().conclude(example(0), manifest).unwrap().events {
            assert_eq!((event.replay, &event.faces_of, &event.labels_of), (3, &faces_of, &None));
        }
    }

    #[test]
    fn one_event_is_emitted_per_clip_with_its_times() {
        let outcome = cut().conclude(example(0), manifest()).unwrap();
        assert!(outcome.objects.is_empty());
        assert_eq!(outcome.events.len(), 3);
        for (event, index) in outcome.events.iter().zip(0..) {
            assert_eq!((event.index, event.count), (index, Some(3)));
            assert_eq!(event.clip_key, format!("work/v/r/clips/{index}.mp4"));
            assert_eq!(event.manifest_key, "work/v/r/manifest.json");
            assert_eq!((event.frame_ticks, event.total_frames), (512, 750));
            assert_eq!((event.face_threshold, event.extend_ms), (0.25, 700));
            assert!(crate::clip_times(event).is_ok());
        }
        let last = &outcome.events[2];
        assert_eq!((last.margin_start_pts, last.core_start_pts), (230_500, 256_100));
        assert_eq!((last.core_end_pts, last.margin_end_pts), (384_100, 384_100));
    }

    #[test]
    fn a_source_without_clips_is_refused() {
        let manifest = Manifest { clips: Vec::new(), ..manifest() };
        let refusal = cut().conclude(example(0), manifest).unwrap_err();
        assert_eq!(reason(&refusal), "no_frames");
    }
}
