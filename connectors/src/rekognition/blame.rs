//! Whose fault a Rekognition error is.

use crate::aws::Failure;
use ports::{ObjectRef, Trouble};
use std::time::Duration;

/// How long to leave a service alone whose jobs or requests are used up.
const USED_UP: Duration = Duration::from_secs(30);

/// Words that a failed job's message may begin with: the local detector says what is wrong with
/// the media, or why the store refused it, in the words that every other step uses.
const MEDIA_REASONS: [&str; 17] = [
    "empty",
    "not_media",
    "playlist",
    "truncated",
    "no_video",
    "unsupported",
    "too_large",
    "broken",
    "media_crashed",
    "media_memory",
    "media_timeout",
    "media_space",
    "missing_object",
    "foreign_bucket",
    "object_too_large",
    "archived_object",
    "invalid_key",
];

/// Words for what is wrong at the detector, not with the media.
const PASSING_REASONS: [&str; 6] =
    ["io", "internal", "media_stalled", "media_killed", "media_unavailable", "cancelled"];

/// Sorts an error by blame. Total: an unknown refusal is ours, an unknown breakdown the world's.
pub(super) fn blame(clip: &ObjectRef, failure: &Failure) -> Trouble {
    match failure {
        Failure::Unbuilt(detail) => Trouble::fatal(format!("{clip} cannot be asked for: {detail}")),
        Failure::Unreached(detail) => {
            Trouble::away("detector_unreachable", format!("{clip}: {detail}"))
        }
        Failure::Garbled { detail, .. } => garbled(clip, detail),
        Failure::Answered { status, code, message } => {
            let said = format!("{clip}: the detector answered {status} {code}: {message}");
            answered(*status, code, said)
        }
    }
}

fn answered(status: u16, code: &str, said: String) -> Trouble {
    let used_up = |reason, detail: String| Trouble::away(reason, detail).not_before(Some(USED_UP));
    match (code, status) {
        ("InvalidS3ObjectException", _) => Trouble::poison(
            "missing_object",
            format!("{said}; the clip must exist and be readable to the detector"),
        ),
        ("VideoTooLargeException", _) => Trouble::poison("object_too_large", said),
        ("InvalidParameterException", _) => Trouble::poison("undetectable_media", said),
        ("LimitExceededException", _) => used_up("detector_full", said),
        ("ThrottlingException" | "ProvisionedThroughputExceededException", _) | (_, 429) => {
            used_up("detector_busy", said)
        }
        ("ResourceNotFoundException" | "InvalidPaginationTokenException", _) => {
            Trouble::transient("job_lost", said)
        }
        ("IdempotentParameterMismatchException", _) => Trouble::fatal(format!(
            "{said}; one token stands for two questions, which is a bug: report it"
        )),
        (_, 502..=504) => Trouble::away("detector_failed", said),
        ("InternalServerError", _) | (_, 500..) => Trouble::transient("detector_failed", said),
        _ => Trouble::fatal(format!(
            "{said}; check the detector's keys, their rights, its region and endpoint"
        )),
    }
}

/// A job that ended without a result.
pub(super) fn failed(clip: &ObjectRef, message: &str) -> Trouble {
    let word = message.split_once(':').map_or(message, |(word, _)| word);
    if let Some(reason) = MEDIA_REASONS.iter().find(|known| **known == word) {
        return Trouble::poison(reason, format!("{clip}: {message}"));
    }
    if PASSING_REASONS.contains(&word) {
        return Trouble::transient("detector_failed", format!("{clip}: {message}"));
    }
    let message = if message.is_empty() { "no reason given" } else { message };
    Trouble::poison(
        "undetectable_media",
        format!("{clip}: the detector gave up: {message}; convert the video to H.264 in mp4"),
    )
}

/// An answer that makes no sense.
pub(super) fn garbled(clip: &ObjectRef, what: &str) -> Trouble {
    Trouble::transient("detector_garbled", format!("{clip}: the detector answered {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ports::Refusal;

    fn word(trouble: &Trouble) -> String {
        match trouble {
            Trouble::Refused(Refusal::Poison(poison)) => format!("poison {}", poison.reason),
            Trouble::Refused(Refusal::Skip(reason)) => format!("skip {reason}"),
            Trouble::Transient { reason, after: None, .. } => format!("transient {reason}"),
            Trouble::Transient { reason, after: Some(after), .. } => {
                format!("transient {reason} after {} s", after.as_secs())
            }
            Trouble::Fatal(_) => "fatal".to_owned(),
        }
    }

    #[test]
    fn every_answer_has_one_to_blame() {
        let table = [
            (400, "InvalidS3ObjectException", "poison missing_object"),
            (400, "VideoTooLargeException", "poison object_too_large"),
            (400, "InvalidParameterException", "poison undetectable_media"),
            (400, "LimitExceededException", "transient detector_full after 30 s"),
            (400, "ThrottlingException", "transient detector_busy after 30 s"),
            (400, "ProvisionedThroughputExceededException", "transient detector_busy after 30 s"),
            (429, "", "transient detector_busy after 30 s"),
            (400, "ResourceNotFoundException", "transient job_lost"),
            (400, "InvalidPaginationTokenException", "transient job_lost"),
            (500, "InternalServerError", "transient detector_failed"),
            (503, "ServiceUnavailable", "transient detector_failed"),
            (400, "IdempotentParameterMismatchException", "fatal"),
            (400, "AccessDeniedException", "fatal"),
            (400, "InvalidSignatureException", "fatal"),
            (403, "UnrecognizedClientException", "fatal"),
            (400, "SomethingNewException", "fatal"),
        ];
        let clip = ObjectRef::new("bucket", "clip");
        for (status, code, expected) in table {
            let failure =
                Failure::Answered { status, code: code.to_owned(), message: "said so".to_owned() };
            assert_eq!(word(&blame(&clip, &failure)), expected, "{failure:?}");
        }
        let unreached = Failure::Unreached("refused".to_owned());
        assert_eq!(word(&blame(&clip, &unreached)), "transient detector_unreachable");
        let garbled = Failure::Garbled { status: 200, detail: "html".to_owned() };
        assert_eq!(word(&blame(&clip, &garbled)), "transient detector_garbled");
        assert_eq!(word(&blame(&clip, &Failure::Unbuilt("no id".to_owned()))), "fatal");
    }

    #[test]
    fn a_failed_job_says_what_is_wrong_with_the_media() {
        let clip = ObjectRef::new("bucket", "clip");
        let table = [
            ("no_video: the file has no video stream", "poison no_video"),
            ("truncated: the file is cut short", "poison truncated"),
            ("missing_object: s3://bucket/clip does not exist", "poison missing_object"),
            ("io: the disk is full", "transient detector_failed"),
            ("Unsupported codec/format: hevc", "poison undetectable_media"),
            ("", "poison undetectable_media"),
        ];
        for (message, expected) in table {
            assert_eq!(word(&failed(&clip, message)), expected, "{message}");
        }
    }
}
