//! The suite on the index of one machine.

use crate::support::on_tantivy as index_of;

#[path = "suite.rs"]
mod suite;
#[path = "versions.rs"]
mod versions;
