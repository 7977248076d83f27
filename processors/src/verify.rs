//! `recording-stitched` → `recording-ready`: nothing is published that has not been checked.

use crate::clip_count;
use engine::{Effect, Input, Object, Outcome, Processor};
use ports::{ObjectRef, Poison, Refusal};
use schemas::{
    AudioPlan, Blur, Checks, Manifest, Masking, Receipt, RecordingReady, RecordingStitched,
    TimeBase, keys,
};
use std::time::Duration;

/// Checks a staged film against its manifest and tracks, and publishes it.
///
/// The connector decodes the whole film, fills in [`Checks`], asks [`judge`], and only then copies
/// the film to [`recording_key`]: where nothing is, or over an older run of the same video. Any
/// other object there is poison `name_taken`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyRecording {
    pub bucket: String,
    pub video_id: String,
    pub run_id: String,
    pub manifest_key: String,
    pub staged_key: String,
    /// Clips of the run, whose tracks are at [`keys::tracks`].
    pub count: u32,
    /// Where the receipt will be; for the published object's metadata.
    pub receipt_key: String,
}

/// A film was found right, and is published.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    pub receipt: Receipt,
    pub recording_key: String,
    /// Of the manifest, milliseconds since 1970.
    pub recorded_at_ms: i64,
    pub frames: i64,
    pub duration_ms: i64,
    pub size_bytes: i64,
    /// Of the manifest.
    pub replay: u32,
}

impl Effect for VerifyRecording {
    type Answer = Verified;
}

/// Where the recording of a manifest is published.
#[must_use]
pub fn recording_key(manifest: &Manifest) -> String {
    keys::recording(&manifest.owner, &manifest.assessment, manifest.recorded_at_ms)
}

/// What a receipt may honestly say of a recording that passed. `detector` is what has looked at it: of a replay, or
/// where processes differ in their versions, it is not what has found the faces that were masked.
#[must_use]
pub fn statement(manifest: &Manifest, detector: &str) -> String {
    let Masking { blur, verify_threshold, .. } = &manifest.masking;
    match blur {
        Blur::All => {
            format!("verified against detector {detector} at threshold {verify_threshold}")
        }
        Blur::None => "complete; nothing was masked, as the uploader wished".to_owned(),
    }
}

/// Every reason that [`judge`] may refuse a film for.
pub const REASONS: [&str; 6] = [
    "verify_frames",
    "verify_duration",
    "verify_sound",
    "verify_picture",
    "verify_masks",
    "verify_leak",
];

/// Encoding reaches 11 (measured on `talk_360p.mp4`); a mirrored or a grey picture, or one with
/// another corner, is above.
const MOST_DIFFERENCE: f32 = 40.0;

/// May a film with these figures be published?
///
/// # Errors
/// Poison of one of [`REASONS`]: the first check that failed.
pub fn judge(manifest: &Manifest, checks: &Checks) -> Result<(), Poison> {
    let failed = |reason, what: String| {
        Err(Poison::new(
            reason,
            format!(
                "{what}: the recording was not published; upload the video again, or with another clip length"
            ),
        ))
    };
    if checks.frames_source != manifest.frames || checks.frames_output != manifest.frames {
        return failed(
            "verify_frames",
            format!(
                "{} frames came out of {} in the manifest and {} in the source",
                checks.frames_output, manifest.frames, checks.frames_source
            ),
        );
    }
    let off_ms =
        checks.duration_output_ms.saturating_sub(checks.duration_source_ms).saturating_abs();
    if off_ms > frame_ms(manifest) {
        return failed(
            "verify_duration",
            format!(
                "the film lasts {} ms and its source {} ms",
                checks.duration_output_ms, checks.duration_source_ms
            ),
        );
    }
    let wanted = match manifest.audio {
        AudioPlan::None => None,
        AudioPlan::Copy => Some(Checks::SOUND_IDENTICAL),
        AudioPlan::Transcode => Some(Checks::SOUND_TRANSCODED),
    };
    if checks.sound.as_deref() != wanted {
        return failed(
            "verify_sound",
            format!(
                "the sound is {:?} and should be {:?}",
                checks.sound.as_deref().unwrap_or("absent"),
                wanted.unwrap_or("absent")
            ),
        );
    }
    if checks.difference.is_nan() || checks.difference > MOST_DIFFERENCE {
        return failed(
            "verify_picture",
            format!(
                "outside of masks the picture differs from its source by {} levels in some place",
                checks.difference
            ),
        );
    }
    if manifest.masking.blur == Blur::None {
        return Ok(());
    }
    if checks.boxes_masked != checks.boxes {
        return failed(
            "verify_masks",
            format!("{} of {} boxes are masked", checks.boxes_masked, checks.boxes),
        );
    }
    if checks.leaks != 0 {
        return failed("verify_leak", format!("{} faces were found outside masks", checks.leaks));
    }
    Ok(())
}

/// One frame's time in milliseconds, rounded up: what a duration may be off by.
fn frame_ms(manifest: &Manifest) -> i64 {
    let TimeBase { num, den } = manifest.frame_rate;
    let (num, den) = (i64::from(num.max(1)), i64::from(den.max(1)));
    (1000 * den + num - 1) / num
}

/// The processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verify;

impl Processor for Verify {
    const NAME: &'static str = "verify";

    type In = RecordingStitched;
    type Out = RecordingReady;
    type Effect = VerifyRecording;

    fn plan(&self, input: &Input<RecordingStitched>) -> Result<VerifyRecording, Refusal> {
        Ok(VerifyRecording {
            bucket: input.bucket.clone(),
            video_id: input.video_id.clone(),
            run_id: input.run_id.clone(),
            manifest_key: input.manifest_key.clone(),
            staged_key: input.staged_key.clone(),
            count: clip_count(Some(input.count))?,
            receipt_key: keys::receipt(&input.video_id),
        })
    }

    fn conclude(
        &self,
        input: Input<RecordingStitched>,
        verified: Verified,
    ) -> Result<Outcome<RecordingReady>, Refusal> {
        let event = input.event;
        let receipt_key = keys::receipt(&event.video_id);
        let receipt = Object {
            to: ObjectRef::new(&event.bucket, &receipt_key),
            content_type: "application/json",
            body: verified.receipt.to_json()?.into(),
        };
        // Whoever comes to the run later sees by it that the run was verified.
        let of_run = keys::receipt_of_run(&event.video_id, &event.run_id);
        let of_run = Object { to: ObjectRef::new(&event.bucket, of_run), ..receipt.clone() };
        Ok(Outcome::event(RecordingReady {
            video_id: event.video_id,
            run_id: event.run_id,
            owner: event.owner,
            assessment: event.assessment,
            visibility: event.visibility,
            recorded_at_ms: verified.recorded_at_ms,
            bucket: event.bucket,
            recording_key: verified.recording_key,
            receipt_key,
            manifest_key: event.manifest_key,
            count: event.count,
            frames: verified.frames,
            duration_ms: verified.duration_ms,
            size_bytes: verified.size_bytes,
            replay: i32::try_from(verified.replay).unwrap_or(i32::MAX),
        })
        .storing(receipt)
        .storing(of_run))
    }

    fn time_limit(&self, input: &Input<RecordingStitched>) -> Duration {
        ports::time_for_frames(input.frames)
    }

    fn video_id(&self, input: &Input<RecordingStitched>) -> Option<String> {
        Some(input.video_id.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{cut, example};

    fn manifest(blur: Blur, audio: AudioPlan) -> Manifest {
        Manifest {
            owner: "Zoë Müller".into(),
            assessment: String::new(),
            recorded_at_ms: 77,
            frame_rate: TimeBase { num: 30_000, den: 1001 },
            masking: Masking { blur, ..cut().masking },
            audio,
            ..crate::tests::manifest()
        }
    }

    fn checks() -> Checks {
        Checks {
            frames_source: 750,
            frames_output: 750,
            duration_source_ms: 30_000,
            duration_output_ms: 30_000,
            sound: Some(Checks::SOUND_IDENTICAL.into()),
            tracks: 2,
            boxes: 400,
            boxes_masked: 400,
            detections_under_mask: 31,
            detections_unconfirmed: 2,
            leaks: 0,
            difference: 7.5,
        }
    }

    fn verdict(change: impl Fn(&mut Checks)) -> &'static str {
        let mut checks = checks();
        change(&mut checks);
        let Err(refused) = judge(&manifest(Blur::All, AudioPlan::Copy), &checks) else {
            return "passed";
        };
        assert!(REASONS.contains(&refused.reason), "{refused:?}");
        refused.reason
    }

    #[test]
    fn a_film_with_a_wrong_figure_is_not_published() {
        assert_eq!(verdict(|_| ()), "passed");
        assert_eq!(verdict(|c| c.frames_output = 749), "verify_frames");
        assert_eq!(verdict(|c| c.frames_source = 751), "verify_frames");
        assert_eq!(verdict(|c| c.duration_output_ms += 34), "passed");
        assert_eq!(verdict(|c| c.duration_output_ms -= 34), "passed");
        assert_eq!(verdict(|c| c.duration_output_ms += 35), "verify_duration");
        assert_eq!(verdict(|c| c.duration_output_ms = i64::MIN), "verify_duration");
        assert_eq!(verdict(|c| c.sound = None), "verify_sound");
        assert_eq!(verdict(|c| c.sound = Some("transcoded".into())), "verify_sound");
        assert_eq!(verdict(|c| c.difference = MOST_DIFFERENCE + 1.0), "verify_picture");
        assert_eq!(verdict(|c| c.difference = f32::NAN), "verify_picture");
        assert_eq!(verdict(|c| c.boxes_masked = 399), "verify_masks");
        assert_eq!(verdict(|c| c.leaks = 1), "verify_leak");
    }

    #[test]
    fn a_film_without_sound_must_stay_without() {
        let silent = manifest(Blur::All, AudioPlan::None);
        assert!(judge(&silent, &Checks { sound: None, ..checks() }).is_ok());
        assert_eq!(judge(&silent, &checks()).unwrap_err().reason, "verify_sound");
        let sound = Some(Checks::SOUND_TRANSCODED.to_owned());
        let transcoded = manifest(Blur::All, AudioPlan::Transcode);
        assert!(judge(&transcoded, &Checks { sound, ..checks() }).is_ok());
        assert_eq!(judge(&transcoded, &checks()).unwrap_err().reason, "verify_sound");
    }

    #[test]
    fn faces_left_clear_on_purpose_are_no_leak_but_frames_still_count() {
        let clear = manifest(Blur::None, AudioPlan::Copy);
        let checks = Checks { boxes_masked: 0, leaks: 9, ..checks() };
        assert!(judge(&clear, &checks).is_ok());
        assert!(judge(&clear, &Checks { frames_output: 0, ..checks.clone() }).is_err());
        assert!(judge(&clear, &Checks { difference: 99.0, ..checks }).is_err());
        assert!(!statement(&clear, "new").contains("verified"));
        let masked = statement(&manifest(Blur::All, AudioPlan::Copy), "new");
        assert_eq!(masked, "verified against detector new at threshold 0.6");
    }

    #[test]
    fn the_recording_is_named_after_owner_assessment_and_start() {
        let key = recording_key(&manifest(Blur::All, AudioPlan::Copy));
        assert!(key.starts_with("recordings/Zo__M_ller-"), "{key}");
        assert!(key.ends_with("/recording-77.mp4"), "{key}");
    }

    #[test]
    fn the_receipt_is_stored_before_the_recording_is_told_of() {
        let input = example::<RecordingStitched>(0);
        let effect = Verify.plan(&input).unwrap();
        let manifest = manifest(Blur::All, AudioPlan::Copy);
        let verified = Verified {
            receipt: Receipt {
                version: 1,
                video_id: "v".into(),
                run_id: "r".into(),
                statement: statement(&manifest, "new"),
                source_sha256: "a".into(),
                output_sha256: "b".into(),
                masking: manifest.masking.clone(),
                checks: checks(),
            },
            recording_key: recording_key(&manifest),
            recorded_at_ms: 77,
            frames: 750,
            duration_ms: 30_000,
            size_bytes: 5,
            replay: 3,
        };
        let outcome = Verify.conclude(input, verified.clone()).unwrap();
        let ([event], [object, of_run]) = (&outcome.events[..], &outcome.objects[..]) else {
            panic!("{outcome:?}")
        };
        assert_eq!(object.to.key, effect.receipt_key);
        assert_eq!(Receipt::from_json(&object.body).unwrap(), verified.receipt);
        assert_eq!(of_run.to.key, keys::receipt_of_run(&event.video_id, &event.run_id));
        assert_eq!((&of_run.body, event.replay), (&object.body, 3));
        assert_eq!((&event.receipt_key, event.recorded_at_ms), (&effect.receipt_key, 77));
        assert_eq!(
            (event.count, event.recording_key.as_str()),
            (3, verified.recording_key.as_str())
        );
    }
}
