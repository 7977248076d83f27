//! What reelmill asks of the world, as small traits and plain types.
//!
//! Each trait is a port; `connectors` implements it once per vendor. Nothing here names one.

mod catalog;
mod failure;
mod log;
mod query;
mod registry;
mod search;
mod stages;
mod store;

pub use catalog::{
    Catalog, DeadLetterRow, Fact, NextRun, StageRow, VideoFilter, VideoPage, VideoRow, VideoState,
};
pub use failure::{Fatal, Poison, Refusal, Trouble};
pub use log::{Committed, Header, Headers, Log, Polled, Position, Record, Settled};
pub use query::{MAX_QUERY_CHARS, MAX_QUERY_DEPTH, QUERY_FIELDS, day_start_ms, parse_query};
pub use registry::SchemaRegistry;
pub use search::{
    Document, Hit, Match, Moment, MomentKind, Page, Query, QueryError, Search, SearchRequest,
    Viewer,
};
pub use stages::{
    Overdue, STAGES, Stage, overdue, time_for_bytes, time_for_clips, time_for_frames,
};
pub use store::{ObjectInfo, ObjectRef, ObjectStream, Put, PutOutcome, Store};
