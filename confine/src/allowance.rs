//! How much a piece of work may use.

use serde::{Deserialize, Serialize};
use std::{path::PathBuf, time::Duration};

/// Private memory of a helper, bytes. With what it maps of the program and of shared libraries
/// (100 MiB at most) it stays below 1 GiB.
pub const MEMORY: u64 = 896 << 20;

/// Computing time that every work has.
const FLOOR: Duration = Duration::from_secs(60);
/// Computing time of work that only reads packets, and its bytes per second: a hash takes the most.
const READING_FLOOR: Duration = Duration::from_secs(8);
const READ_PER_SECOND: u64 = 4_000_000;
/// Computing time per time of footage: verifying 4K at 60 fps takes about 20.
const PER_FOOTAGE: u32 = 60;
/// Computing time per byte where the length of the footage is not known yet: footage of 30 kbit/s
/// is hardly watchable, and a second of it takes a second at most unless it is large.
const BYTES_PER_SECOND: u64 = 4000;
/// Clock time per computing time. A work does nothing but compute: one that waits for so long
/// waits for the machine.
const CLOCK: u32 = 5;
/// Re-encoding to another codec makes a file larger, by no more than this.
const FILE_PER_INPUT: u64 = 8;
const FILE_FLOOR: u64 = 1 << 30;

/// What a piece of work may see and use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowance {
    /// The one directory whose files it may read and write.
    pub folder: PathBuf,
    /// Bytes a file that it writes may have.
    pub file_bytes: u64,
    /// Computing time, of all threads together.
    pub time: Duration,
    /// Threads of each decoder, encoder and model.
    pub threads: usize,
}

impl Allowance {
    /// For work on `input_bytes` of footage in `folder` that lasts `footage`, where that is known.
    #[must_use]
    pub fn new(
        folder: PathBuf,
        input_bytes: u64,
        footage: Option<Duration>,
        threads: usize,
    ) -> Self {
        let of_footage = match footage {
            Some(footage) => footage.saturating_mul(PER_FOOTAGE),
            None => Duration::from_secs(input_bytes / BYTES_PER_SECOND),
        };
        Self {
            folder,
            file_bytes: input_bytes.saturating_mul(FILE_PER_INPUT).saturating_add(FILE_FLOOR),
            time: of_footage.saturating_add(FLOOR),
            threads: threads.max(1),
        }
    }

    /// For reading `input_bytes` in `folder` without decoding them.
    #[must_use]
    pub fn reading(folder: PathBuf, input_bytes: u64) -> Self {
        let reading = Duration::from_secs(input_bytes / READ_PER_SECOND);
        let time = READING_FLOOR.saturating_add(reading);
        Self { time, ..Self::new(folder, input_bytes, None, 1) }
    }

    /// Time on the clock after which a work that has not used up its computing time is stopped.
    #[must_use]
    pub fn clock(&self) -> Duration {
        self.time.saturating_mul(CLOCK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endless_length_gives_no_overflow() {
        let endless = Allowance::new(PathBuf::new(), u64::MAX, Some(Duration::MAX), 0);
        assert_eq!((endless.time, endless.threads), (Duration::MAX, 1));
        assert_eq!(endless.clock(), Duration::MAX);
    }

    #[test]
    fn a_small_file_of_unknown_length_has_minutes() {
        let bomb = Allowance::new(PathBuf::new(), 85_000, None, 1);
        assert_eq!(bomb.time, Duration::from_secs(81));
    }
}
