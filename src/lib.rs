//! reelmill
