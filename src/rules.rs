//! What the settings mean for a run.

use crate::{
    cli::{KafkaAccess, KafkaSecurity, Mask, MillArgs, RealArgs},
    detector,
    failure::Failure,
};
use processors::cut::Cut;
use schemas::{Blur, Masking};

/// Seen on both sides of a clip, at least: a track may be extended by as much.
const MARGIN_SECONDS: f64 = 1.0;
const EXTEND_MS: i64 = 1000;

/// Refuses settings that contradict each other.
///
/// The check must not look for faces that masking passes over: each of them would keep a recording
/// back that was masked as wished.
pub fn check(args: &MillArgs) -> Result<(), Failure> {
    let (face, verify) = (args.detector.face_threshold, args.verify_threshold);
    if verify < face {
        return Err(Failure::usage(format!(
            "--verify-threshold {verify} is below --face-threshold {face}: recordings would be kept \
             back for faces that nothing masks; set --verify-threshold to {face} at least"
        )));
    }
    Ok(())
}

/// The embedded broker asks nobody who he is, and speaks no TLS.
pub fn check_kafka(args: &RealArgs) -> Result<(), Failure> {
    let KafkaAccess { kafka_security, kafka_ca, kafka_user, kafka_password } = &args.access;
    let is_set = *kafka_security != KafkaSecurity::Plaintext
        || kafka_ca.is_some()
        || kafka_user.is_some()
        || kafka_password.is_some();
    if args.kafka.is_none() && is_set {
        return Err(Failure::usage(
            "there are TLS, a user or a password for Kafka, and the embedded broker has none of them: \
             set --kafka, or take --kafka-security, --kafka-ca, --kafka-user and --kafka-password away",
        ));
    }
    Ok(())
}

/// What `cut` decides for every run.
#[must_use]
pub fn cut_rules(args: &MillArgs) -> Cut {
    let mut allowed_buckets = args.allowed_buckets.clone();
    allowed_buckets.push(args.shared.bucket.clone());
    Cut {
        allowed_buckets,
        bucket: args.shared.bucket.clone(),
        clip_seconds: args.clip_seconds,
        margin_seconds: MARGIN_SECONDS,
        masking: Masking {
            blur: Blur::All,
            style: match args.mask {
                Mask::Pixelate => "pixelate",
                Mask::Gaussian => "gaussian",
                Mask::Solid => "solid",
            }
            .to_owned(),
            detector: detector::profile(&args.detector).name(&vision::detector_name()),
            threshold: args.detector.face_threshold,
            verify_threshold: args.verify_threshold,
            extend_ms: EXTEND_MS,
        },
    }
}
