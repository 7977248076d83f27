//! Whose fault an S3 error is.

use crate::aws::Failure;
use ports::{ObjectRef, Trouble};
use std::{io, path::Path, time::Duration};

/// How long to leave a store alone that says it is asked too much.
const SLOW_DOWN: Duration = Duration::from_secs(5);

/// Sorts an error by blame. Total: an unknown refusal is ours, an unknown breakdown the world's.
pub(super) fn blame(object: &ObjectRef, failure: &Failure) -> Trouble {
    match failure {
        Failure::Unbuilt(detail) => {
            Trouble::poison("invalid_key", format!("{object} cannot be asked for: {detail}"))
        }
        Failure::Unreached(detail) => {
            Trouble::away("store_unreachable", format!("{object}: {detail}"))
        }
        Failure::Garbled { status, detail } => Trouble::away(
            "store_unreachable",
            format!("{object}: answer {status} is not S3's: {detail}"),
        ),
        Failure::Answered { status, code, message } => answered(object, *status, code, message),
    }
}

fn answered(object: &ObjectRef, status: u16, code: &str, message: &str) -> Trouble {
    let said = if code.is_empty() {
        format!("{object}: the store answered {status}")
    } else {
        format!("{object}: the store answered {status} {code}: {message}")
    };
    match (code, status) {
        ("NoSuchBucket" | "InvalidBucketName", _) => Trouble::poison(
            "foreign_bucket",
            format!("{said}; the bucket is not in this store, upload to one that is"),
        ),
        ("NoSuchUpload" | "InvalidPart", _) => Trouble::transient("upload_lost", said),
        ("NoSuchKey" | "NotFound", _) | (_, 404) => {
            Trouble::poison("missing_object", format!("{said}; upload the object before its event"))
        }
        ("KeyTooLongError" | "InvalidArgument" | "InvalidURI", _) => {
            Trouble::poison("invalid_key", said)
        }
        ("EntityTooLarge", _) => Trouble::poison("object_too_large", said),
        ("InvalidObjectState", _) => {
            Trouble::poison("archived_object", format!("{said}; restore the object first"))
        }
        ("PreconditionFailed" | "InvalidRange", _) | (_, 412 | 416) => {
            Trouble::transient("object_changed", said)
        }
        ("BadDigest" | "IncompleteBody" | "XAmzContentSHA256Mismatch", _) => {
            Trouble::transient("damaged_transfer", said)
        }
        ("SlowDown" | "TooManyRequests" | "RequestLimitExceeded" | "Throttling", _)
        | (_, 429 | 503) => Trouble::away("store_busy", said).not_before(Some(SLOW_DOWN)),
        ("RequestTimeout" | "OperationAborted" | "ConditionalRequestConflict", _)
        | (_, 408 | 409) => Trouble::transient("store_busy", said),
        ("NotImplemented", _) => {
            Trouble::fatal(format!("{said}; this store lacks an operation reelmill needs"))
        }
        ("InsufficientStorage", _) | (_, 507) => Trouble::away("store_full", said),
        (_, 502 | 504) => Trouble::away("store_failed", said),
        (_, 500..) => Trouble::transient("store_failed", said),
        (_, 401 | 403) => Trouble::fatal(format!(
            "{said}; check the store's keys, their rights (including listing) and the clock"
        )),
        (_, 301 | 307) => Trouble::fatal(format!("{said}; check the store's region and endpoint")),
        _ => Trouble::fatal(format!("{said}; check the store's configuration")),
    }
}

/// Sorts an error of a local file by blame.
pub(super) fn local(file: &Path, error: &io::Error) -> Trouble {
    let said = format!("{}: {error}", file.display());
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Trouble::away("scratch_full", said)
        }
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => Trouble::fatal(said),
        _ => Trouble::transient("scratch_failed", said),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ports::Refusal;

    fn answered(status: u16, code: &str) -> Failure {
        Failure::Answered { status, code: code.to_owned(), message: "said so".to_owned() }
    }

    fn word(trouble: &Trouble) -> String {
        match trouble {
            Trouble::Refused(Refusal::Poison(poison)) => format!("poison {}", poison.reason),
            Trouble::Refused(Refusal::Skip(reason)) => format!("skip {reason}"),
            Trouble::Transient { reason, .. } => format!("transient {reason}"),
            Trouble::Fatal(_) => "fatal".to_owned(),
        }
    }

    #[test]
    fn every_answer_has_one_to_blame() {
        let table = [
            (answered(404, "NoSuchKey"), "poison missing_object"),
            (answered(404, "NotFound"), "poison missing_object"),
            (answered(404, ""), "poison missing_object"),
            (answered(404, "NoSuchBucket"), "poison foreign_bucket"),
            (answered(400, "InvalidBucketName"), "poison foreign_bucket"),
            (answered(404, "NoSuchUpload"), "transient upload_lost"),
            (answered(400, "InvalidPart"), "transient upload_lost"),
            (answered(400, "KeyTooLongError"), "poison invalid_key"),
            (answered(400, "InvalidArgument"), "poison invalid_key"),
            (answered(400, "EntityTooLarge"), "poison object_too_large"),
            (answered(403, "InvalidObjectState"), "poison archived_object"),
            (answered(412, "PreconditionFailed"), "transient object_changed"),
            (answered(412, ""), "transient object_changed"),
            (answered(416, "InvalidRange"), "transient object_changed"),
            (answered(400, "BadDigest"), "transient damaged_transfer"),
            (answered(503, "SlowDown"), "transient store_busy"),
            (answered(429, ""), "transient store_busy"),
            (answered(409, "ConditionalRequestConflict"), "transient store_busy"),
            (answered(400, "RequestTimeout"), "transient store_busy"),
            (answered(500, "InternalError"), "transient store_failed"),
            (answered(502, ""), "transient store_failed"),
            (answered(507, "InsufficientStorage"), "transient store_full"),
            (answered(403, "AccessDenied"), "fatal"),
            (answered(403, "InvalidAccessKeyId"), "fatal"),
            (answered(403, "SignatureDoesNotMatch"), "fatal"),
            (answered(403, "RequestTimeTooSkewed"), "fatal"),
            (answered(403, ""), "fatal"),
            (answered(400, "ExpiredToken"), "fatal"),
            (answered(301, "PermanentRedirect"), "fatal"),
            (answered(400, "AuthorizationHeaderMalformed"), "fatal"),
            (answered(501, "NotImplemented"), "fatal"),
            (answered(400, "SomethingNew"), "fatal"),
            (Failure::Unreached("connection refused".to_owned()), "transient store_unreachable"),
            (
                Failure::Garbled { status: 200, detail: "not xml".to_owned() },
                "transient store_unreachable",
            ),
            (Failure::Unbuilt("empty key".to_owned()), "poison invalid_key"),
        ];
        for (failure, expected) in table {
            let trouble = blame(&ObjectRef::new("bucket", "key"), &failure);
            assert_eq!(word(&trouble), expected, "{failure:?}");
            assert!(trouble.to_string().contains("s3://bucket/key"), "names the object: {trouble}");
        }
    }

    #[test]
    fn a_busy_store_is_left_alone_for_a_while() {
        let trouble = blame(&ObjectRef::new("b", "k"), &answered(503, "SlowDown"));
        assert!(
            matches!(trouble, Trouble::Transient { after: Some(SLOW_DOWN), .. }),
            "{trouble:?}"
        );
    }

    #[test]
    fn a_full_disk_passes_and_a_missing_file_is_our_bug() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert_eq!(word(&local(Path::new("/scratch/a"), &full)), "transient scratch_full");
        let missing = io::Error::from(io::ErrorKind::NotFound);
        assert_eq!(word(&local(Path::new("/scratch/a"), &missing)), "fatal");
    }
}
