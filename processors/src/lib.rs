//! The meaning: one pure file per step
