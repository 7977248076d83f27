//! The suite on a real OpenSearch.

use crate::support::on_opensearch as index_of;

#[expect(clippy::duplicate_mod, reason = "the same tests on each engine")]
#[path = "suite.rs"]
mod suite;
#[expect(clippy::duplicate_mod, reason = "the same tests on each engine")]
#[path = "versions.rs"]
mod versions;
