//! Packets that a file shows more than once.
//!
//! The edit list of an mp4 may name the same second any number of times, its chunk table the same
//! bytes, and so may the index of an avi: a small file becomes a film of days that was never there.

use crate::MediaError;
use crate::container::Container;

/// Packets until the first look: sorting so few costs nothing.
const FIRST_LOOK: u64 = 1024;

/// Counts the packets of some streams, and the places in the file that they come from.
#[derive(Debug)]
pub(crate) struct Repeats {
    limit: u64,
    streams: Vec<Stream>,
}

#[derive(Debug)]
struct Stream {
    index: usize,
    packets: u64,
    /// Where packets begin, bytes; sorted and without doubles up to the last look.
    places: Vec<i64>,
    next_look: u64,
}

impl Repeats {
    /// Counts nothing in containers that are read from front to back: there nothing comes twice.
    pub(crate) fn new(
        container: Container,
        streams: impl IntoIterator<Item = usize>,
        limit: u64,
    ) -> Self {
        let stream =
            |index| Stream { index, packets: 0, places: Vec::new(), next_look: FIRST_LOOK };
        let streams = match container {
            Container::Mp4 | Container::Avi => streams.into_iter().map(stream).collect(),
            Container::Matroska | Container::TransportStream => Vec::new(),
        };
        Self { limit, streams }
    }

    /// Takes a packet of stream `index` that begins at byte `place`; a negative one is unknown.
    ///
    /// Looks whenever the packets have doubled: a repeated second is noticed long before its last
    /// time, and an honest film costs a few sorts of numbers that are nearly sorted.
    pub(crate) fn see(&mut self, index: usize, place: i64) -> Result<(), MediaError> {
        let limit = self.limit;
        let Some(stream) = self.streams.iter_mut().find(|stream| stream.index == index) else {
            return Ok(());
        };
        if place < 0 {
            return Ok(());
        }
        stream.packets += 1;
        stream.places.push(place);
        if stream.packets < stream.next_look {
            return Ok(());
        }
        stream.next_look = stream.packets.saturating_mul(2);
        stream.check(limit)
    }

    /// Whether all that came is within the limit.
    pub(crate) fn check(&mut self) -> Result<(), MediaError> {
        let limit = self.limit;
        self.streams.iter_mut().try_for_each(|stream| stream.check(limit))
    }
}

impl Stream {
    fn check(&mut self, limit: u64) -> Result<(), MediaError> {
        self.places.sort_unstable();
        self.places.dedup();
        let different = self.places.len() as u64;
        if self.packets <= different.saturating_mul(limit) {
            return Ok(());
        }
        Err(MediaError::TooLarge {
            what: "times that its index shows the same pictures or sounds",
            limit,
            actual: self.packets.div_ceil(different.max(1)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 8;

    fn repeats() -> Repeats {
        Repeats::new(Container::Mp4, [0, 1], LIMIT)
    }

    #[test]
    fn packets_out_of_order_are_no_repeats() {
        let mut repeats = repeats();
        (0..100_000).rev().for_each(|place| repeats.see(0, place).unwrap());
        repeats.check().unwrap();
    }

    #[test]
    fn eight_times_pass_and_a_ninth_does_not() {
        let mut repeats = repeats();
        (0..10).cycle().take(80).for_each(|place| repeats.see(0, place).unwrap());
        repeats.check().unwrap();
        repeats.see(0, 0).unwrap();
        assert_eq!(repeats.check().unwrap_err().reason(), "too_large");
    }

    #[test]
    fn one_stream_does_not_excuse_the_other() {
        let mut repeats = repeats();
        let seen = (0..).take_while(|n| {
            repeats.see(0, *n).unwrap();
            repeats.see(1, n % 10).is_ok()
        });
        assert!(seen.count() < 2000);
    }
}
