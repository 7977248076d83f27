//! Every `code` a problem can have: its status, its title, when it comes and what to do then.
//! `docs/problems.md` is this table, by way of the OpenAPI document.

use serde::{Deserialize, Serialize, de::IntoDeserializer, de::value};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

/// One word for ever: what a program looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Code, example = "no_such_video")]
pub(crate) enum Code {
    // The request's fault.
    BadParameter,
    BadQuery,
    EmptyBody,
    CutOff,
    ForeignHost,
    ForeignOrigin,
    NoSuchRoute,
    NoSuchVideo,
    MissingObject,
    WrongMethod,
    Silent,
    NotReady,
    NoThumbnail,
    Failed,
    NothingToRetry,
    NothingToReplay,
    TooLarge,
    UriTooLong,
    RawBodyWanted,
    RangeNotSatisfiable,
    Refused,
    HeadersTooLarge,
    // Ours.
    Internal,
    // The world's.
    PartNotReady,
    Stopping,
    NotAnnounced,
    Replaced,
    Unavailable,
    StoreUnreachable,
    StoreBusy,
    StoreFull,
    StoreFailed,
    ObjectChanged,
    DamagedTransfer,
    UploadLost,
    DatabaseBusy,
    DatabaseGone,
    DatabaseIo,
    DiskFull,
    IndexLocked,
    IndexIo,
    IndexWriterLost,
    IndexUnreachable,
    IndexTimedOut,
    IndexBusy,
    IndexFailed,
    IndexPartial,
    IndexMissing,
    BrokerUnavailable,
    Kafka,
    Rebalanced,
    Fenced,
    TopicMissing,
    AnotherRedrive,
    TransactionOpen,
}

/// What holds for every problem of a code.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) status: u16,
    pub(crate) title: &'static str,
    pub(crate) when: &'static str,
    /// Where a problem has nothing more precise to say.
    pub(crate) next_step: &'static str,
}

/// What asking the catalogue can end in.
pub(crate) const DATABASE: &[Code] = &[
    Code::DatabaseBusy,
    Code::DatabaseGone,
    Code::DatabaseIo,
    Code::DiskFull,
    Code::Unavailable,
    Code::Refused,
];
/// What reading an object can end in.
pub(crate) const STORE: &[Code] = &[
    Code::MissingObject,
    Code::StoreUnreachable,
    Code::StoreBusy,
    Code::StoreFailed,
    Code::ObjectChanged,
    Code::DamagedTransfer,
    Code::Unavailable,
    Code::Refused,
];
/// What writing an object can end in.
pub(crate) const STORE_WRITE: &[Code] = &[
    Code::StoreUnreachable,
    Code::StoreBusy,
    Code::StoreFull,
    Code::StoreFailed,
    Code::ObjectChanged,
    Code::DamagedTransfer,
    Code::UploadLost,
    Code::Unavailable,
    Code::Refused,
];
/// What a search can end in.
pub(crate) const INDEX: &[Code] = &[
    Code::BadQuery,
    Code::IndexLocked,
    Code::IndexIo,
    Code::IndexWriterLost,
    Code::IndexUnreachable,
    Code::IndexTimedOut,
    Code::IndexBusy,
    Code::IndexFailed,
    Code::IndexPartial,
    Code::IndexMissing,
    Code::DiskFull,
    Code::Unavailable,
    Code::Refused,
];
/// What sending dead letters back can end in.
pub(crate) const BROKER: &[Code] = &[
    Code::BrokerUnavailable,
    Code::Kafka,
    Code::Rebalanced,
    Code::Fenced,
    Code::TopicMissing,
    Code::AnotherRedrive,
    Code::TransactionOpen,
    Code::Unavailable,
    Code::Refused,
];

const WAIT: &str = "try again after the seconds that Retry-After names";

impl Code {
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::BadParameter => row(
                400,
                "a parameter is wrong",
                "a parameter is unknown, not of its type or outside its bounds, or the path is not \
                 percent-encoded utf-8",
                "correct the parameter that the detail names; GET /docs describes them",
            ),
            Self::BadQuery => row(
                400,
                "the query cannot be read",
                "`q` does not follow the grammar of queries; `position` is the character",
                "words, \"phrases\", AND, OR, NOT, parentheses and field:word are understood; \
                 quote anything else",
            ),
            Self::EmptyBody => row(
                400,
                "the upload is empty",
                "the body has no bytes",
                "send the file as the raw body, e.g. curl --data-binary @film.mp4",
            ),
            Self::CutOff => row(
                400,
                "the upload was cut off",
                "the connection ended before the body did; nothing was kept",
                "send the whole file again",
            ),
            Self::ForeignHost => row(
                403,
                "the host name is not this machine's",
                "the request names a host that is not loopback's, which is how dns rebinding looks",
                "use http://127.0.0.1 or http://localhost; until accounts exist the api answers \
                 on loopback only",
            ),
            Self::ForeignOrigin => row(
                403,
                "another site's page may not change anything here",
                "the origin header names a page that does not come from this machine",
                "send the request from a program, or from a page of this machine",
            ),
            Self::NoSuchRoute => row(
                404,
                "there is nothing at this path",
                "no route has the path",
                "GET / lists what is here",
            ),
            Self::NoSuchVideo => row(
                404,
                "there is no such video",
                "no video has the id of the path",
                "list the videos with GET /api/videos",
            ),
            Self::MissingObject => row(
                404,
                "the object is gone",
                "what the catalogue points to is not in the store any more",
                "upload the footage again if you still have it",
            ),
            Self::WrongMethod => row(
                405,
                "the path does not take this method",
                "the path has a route, but not for the method",
                "the allow header says what this path takes; GET / lists what is here",
            ),
            Self::Silent => row(
                408,
                "the upload stood still",
                "no byte of the body came for `max_silence_seconds`; nothing was kept",
                "send the whole file again",
            ),
            Self::NotReady => row(
                409,
                "the recording is not ready yet",
                "the video is still being processed, and nothing is published unverified",
                "watch its stages with GET /api/videos/{id}",
            ),
            Self::NoThumbnail => row(
                409,
                "the recording has no thumbnail yet",
                "the recording is there; a still of this run's recording is not, or not any more",
                "ask again in a moment; where GET /api/videos/{id} shows a dead letter of \
                 `thumbnail`, POST /api/videos/{id}/retry?stage=thumbnail",
            ),
            Self::Failed => row(
                409,
                "the video failed",
                "the video has no recording because a stage gave up; `reason` is the stage's word",
                "mend what the detail names, then POST /api/videos/{id}/retry; footage that is \
                 itself damaged must be uploaded again",
            ),
            Self::NothingToRetry => row(
                409,
                "nothing of the video waits for a retry",
                "no event of the video (in that stage) has failed that was not sent back already",
                "see its state and its dead letters with GET /api/videos/{id}",
            ),
            Self::NothingToReplay => row(
                409,
                "the video cannot be worked on again from there",
                "the video is still worked on or was never cut, its source is gone or another one, \
                 or the faces and labels to be taken over are not all there",
                "replay from cut; where the source is not what it was, upload it again",
            ),
            Self::TooLarge => row(
                413,
                "the upload is too large",
                "the body is declared, or grows, larger than `max_bytes`; nothing was kept",
                "cut the film into parts, or start the mill with a higher --scratch-max-bytes: an \
                 upload may have a third of what is more than 1 GiB of it, and 10 GiB at most",
            ),
            Self::UriTooLong => row(
                414,
                "the path and query are too long",
                "path and query together have more than 16 KiB",
                "shorten the parameters; GET /docs tells their bounds",
            ),
            Self::RawBodyWanted => row(
                415,
                "the body must be the file itself",
                "the body is a form, and its boundaries would become part of the film",
                "send the file as the raw body, e.g. curl --data-binary @film.mp4",
            ),
            Self::RangeNotSatisfiable => row(
                416,
                "the range is outside the recording",
                "the range begins after the last byte; Content-Range names the length",
                "ask for a range that starts before its end",
            ),
            Self::Refused => row(
                422,
                "the request can never succeed",
                "a service refuses what it is asked, whenever it is asked; `reason` is its word",
                "change what the detail names; the same request will fail again",
            ),
            Self::HeadersTooLarge => row(
                431,
                "the headers are too large",
                "the headers together have more than 32 KiB",
                "send fewer or shorter headers; none but Host is needed",
            ),
            Self::Internal => row(
                500,
                "the mill is at fault",
                "a bug, or a configuration the mill cannot work with",
                "see the log of the mill, mend what it names, and try again",
            ),
            Self::PartNotReady => row(
                503,
                "a part of the mill is not ready",
                "the mill has just started, or a processor has stopped; `parts` says which and why",
                "wait a moment; if it stays so, the log of the mill says what to do",
            ),
            Self::Stopping => row(
                503,
                "the mill is stopping",
                "the mill shuts down while an upload is under way; nothing of it was kept",
                "send the whole file again when the mill is up",
            ),
            Self::NotAnnounced => row(
                503,
                "the upload could not be announced",
                "the broker or the schema registry did not take the event; nothing was kept",
                "send the whole file again when GET /readyz says ready",
            ),
            Self::Replaced => row(
                503,
                "the recording was just replaced",
                "a newer run published its recording while this one was being opened",
                "ask again",
            ),
            Self::Unavailable => row(
                503,
                "a service does not answer",
                "for a reason without a code of its own; `reason` is the service's word",
                WAIT,
            ),
            Self::StoreUnreachable => {
                row(503, "the object store does not answer", "nobody answers at its endpoint", WAIT)
            }
            Self::StoreBusy => {
                row(503, "the object store is busy", "it asks to be asked more slowly", WAIT)
            }
            Self::StoreFull => row(
                503,
                "the object store is full",
                "there is no room for the object",
                "make room where the store keeps its objects, then try again",
            ),
            Self::StoreFailed => {
                row(503, "the object store failed", "it answers with an error of its own", WAIT)
            }
            Self::ObjectChanged => row(
                503,
                "the object changed while it was read",
                "a newer one took its place",
                "ask again",
            ),
            Self::DamagedTransfer => row(
                503,
                "an object was damaged on its way",
                "its checksum at the other end is not the one it left with",
                WAIT,
            ),
            Self::UploadLost => row(
                503,
                "the store lost the upload under way",
                "the parts that were sent are gone",
                "send the whole file again",
            ),
            Self::DatabaseBusy => row(
                503,
                "the database is busy",
                "others hold what is asked for, or it has no connection free",
                WAIT,
            ),
            Self::DatabaseGone => row(
                503,
                "the database does not answer",
                "its server cannot be reached, or the mill stops",
                WAIT,
            ),
            Self::DatabaseIo => row(
                503,
                "the database cannot read or write its files",
                "the disk or the memory fails it",
                "see the disk that the detail names, then try again",
            ),
            Self::DiskFull => row(
                503,
                "the disk is full",
                "the database or the index cannot write",
                "make room on the disk that the detail names, then try again",
            ),
            Self::IndexLocked => row(
                503,
                "the search index is locked",
                "another process holds it",
                "stop the other process that uses it",
            ),
            Self::IndexIo => row(
                503,
                "the search index cannot read or write its files",
                "the disk fails it",
                "see the disk that the detail names, then try again",
            ),
            Self::IndexWriterLost => row(
                503,
                "the search index lost its writer",
                "most often because the disk is full; the next write starts a new one",
                WAIT,
            ),
            Self::IndexUnreachable => {
                row(503, "the search index does not answer", "its server cannot be reached", WAIT)
            }
            Self::IndexTimedOut => {
                row(503, "the search index took too long", "its server is busy, or silent", WAIT)
            }
            Self::IndexBusy => {
                row(503, "the search index is busy", "it asks to be asked more slowly", WAIT)
            }
            Self::IndexFailed => {
                row(503, "the search index failed", "it answers with an error of its own", WAIT)
            }
            Self::IndexPartial => row(
                503,
                "a part of the search index does not answer",
                "what was found would not be all",
                WAIT,
            ),
            Self::IndexMissing => row(
                503,
                "the search index is missing",
                "somebody removed it; an empty one is made in its place",
                "fill it with `reelmill index rebuild`",
            ),
            Self::BrokerUnavailable => {
                row(503, "the broker does not answer", "nobody answers at its address", WAIT)
            }
            Self::Kafka => row(503, "the broker failed", "for a reason it names", WAIT),
            Self::Rebalanced => {
                row(503, "the broker hands the work to others", "consumers came or went", WAIT)
            }
            Self::Fenced => row(
                503,
                "another producer of the same name has begun",
                "a process runs with the same instance name",
                "give every process an instance name of its own, then try again",
            ),
            Self::TopicMissing => row(
                503,
                "a topic is missing",
                "the broker does not know it",
                "create the topics with `reelmill topics create`, then try again",
            ),
            Self::AnotherRedrive => row(
                503,
                "another retry goes on with the rest",
                "two retries of one stage met",
                "see what it did with GET /api/videos/{id}, then try again",
            ),
            Self::TransactionOpen => row(
                503,
                "a transaction stays open",
                "a process died while it wrote to the topic of the dead letters",
                "try again in a minute",
            ),
        }
    }

    /// Every code: the schema lists the variants, so that none can be left out.
    pub(crate) fn all() -> Vec<Self> {
        let RefOr::T(Schema::Object(schema)) = Self::schema() else { return Vec::new() };
        let words = schema.enum_values.into_iter().flatten();
        words.filter_map(|word| serde_json::from_value(word).ok()).collect()
    }

    /// The code that a port's reason is, where it has one of a status that fits its blame.
    pub(crate) fn of_reason(reason: &str, statuses: &[u16]) -> Option<Self> {
        let word: value::StrDeserializer<'_, value::Error> = reason.into_deserializer();
        Self::deserialize(word).ok().filter(|code| statuses.contains(&code.kind().status))
    }
}

fn row(status: u16, title: &'static str, when: &'static str, next_step: &'static str) -> Kind {
    Kind { status, title, when, next_step }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_becomes_the_code_of_its_name_only_where_the_blame_fits() {
        assert_eq!(Code::of_reason("disk_full", &[503]), Some(Code::DiskFull));
        assert_eq!(Code::of_reason("disk_full", &[404, 413]), None);
        assert_eq!(Code::of_reason("something_new", &[503]), None);
    }

    #[test]
    fn every_variant_is_among_all() {
        assert_eq!(Code::all().first(), Some(&Code::BadParameter));
        assert_eq!(Code::all().last(), Some(&Code::TransactionOpen));
        assert_eq!(Code::all().len(), Code::TransactionOpen as usize + 1);
    }
}
