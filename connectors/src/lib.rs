//! The world, a folder per vendor

mod aws;
pub mod database;
pub mod kafka;
pub mod registry;
pub mod rekognition;
pub mod s3;
pub mod tantivy;
