//! How much a file may ask for, and how to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::MediaError;

/// Bounds on what a media file may make this crate do.
///
/// Small files can ask for gigabytes: 85 kB of H.264 at 16000x16000 takes 4 GB to decode.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Longest side of a picture, px.
    pub max_side: u32,
    /// Largest picture, px. The default is 8K.
    pub max_pixels: u64,
    /// Streams of all kinds in one file.
    pub max_streams: u32,
    /// Length, s: two days. Each minute of a film is a clip, whatever it shows.
    pub max_seconds: u64,
    /// Packets of all streams in one file; 24 h of 50 fps video with sound are 8.4 million.
    pub max_packets: u64,
    /// How often the packets of a stream may come, on average. An edit list of 240 kB shows one
    /// second 20,000 times, and each time is decoded, looked at and encoded. A person who edits
    /// shows something once or twice more; and every cut brings, hidden, half a group of pictures
    /// again, so that 8 lets every group be cut into 16 parts.
    pub max_repeats: u64,
    /// Cores that a decoder should keep at work; it may have a thread more. At least 1.
    pub threads: usize,
    /// Raised by another thread to stop the work.
    pub cancel: Cancel,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_side: 8192,
            max_pixels: 8192 * 4352,
            max_streams: 64,
            max_seconds: 48 * 60 * 60,
            max_packets: 10_000_000,
            max_repeats: 8,
            threads: 1,
            cancel: Cancel::default(),
        }
    }
}

impl Limits {
    /// Checks a length in ms.
    pub(crate) fn check_length(&self, ms: i64) -> Result<(), MediaError> {
        let seconds = u64::try_from(ms / 1000).unwrap_or(0);
        if seconds > self.max_seconds {
            let limit = self.max_seconds;
            return Err(MediaError::TooLarge { what: "length in s", limit, actual: seconds });
        }
        Ok(())
    }

    /// Checks the size of a picture in px.
    pub(crate) fn check_picture(&self, width: u32, height: u32) -> Result<(), MediaError> {
        let side = width.max(height);
        if side > self.max_side {
            return Err(MediaError::TooLarge {
                what: "longest side in px",
                limit: self.max_side.into(),
                actual: side.into(),
            });
        }
        let pixels = u64::from(width) * u64::from(height);
        if pixels > self.max_pixels {
            return Err(MediaError::TooLarge {
                what: "picture size in px",
                limit: self.max_pixels,
                actual: pixels,
            });
        }
        Ok(())
    }
}

/// A flag that stops media work at the next packet or frame. Clones share the flag.
#[derive(Debug, Clone, Default)]
pub struct Cancel {
    own: Arc<AtomicBool>,
    /// Stop the work, too.
    above: Vec<Arc<AtomicBool>>,
}

impl Cancel {
    /// A flag that is not raised.
    pub fn new() -> Self {
        Self::default()
    }

    /// A flag of a part of the work, which stops with the whole.
    pub(crate) fn of_part(&self) -> Self {
        let above = self.above.iter().chain([&self.own]).cloned().collect();
        Self { own: Arc::default(), above }
    }

    /// Asks the work to stop.
    pub fn cancel(&self) {
        self.own.store(true, Ordering::Relaxed);
    }

    /// Whether the work was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.above.iter().chain([&self.own]).any(|flag| flag.load(Ordering::Relaxed))
    }

    pub(crate) fn check(&self) -> Result<(), MediaError> {
        if self.is_cancelled() { Err(MediaError::Cancelled) } else { Ok(()) }
    }
}
