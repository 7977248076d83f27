//! The world, a folder per vendor
