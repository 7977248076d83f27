//! The world, a folder per vendor

mod aws;
mod calls;
pub mod cataloguing;
mod causes;
pub mod counted;
mod credentials;
pub mod database;
pub mod indexing;
pub mod kafka;
pub mod known;
pub mod opensearch;
pub mod registry;
pub mod reindexing;
pub mod rekognition;
pub mod s3;
pub mod studio;
pub mod tantivy;
mod words;

pub use aws::{Unfit, Why};
pub use causes::causes;
