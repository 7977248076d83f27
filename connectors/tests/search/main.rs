//! What every search index must do, asked of tantivy and of OpenSearch by the same tests; that both
//! give the same pages; and what OpenSearch alone must do, because it is reached over a network.
//!
//! OpenSearch is skipped with a word where it is not installed.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

mod documents;
mod faults;
mod opensearch;
mod rebuilding;
mod refusals;
mod same_answers;
mod support;
mod tantivy;
