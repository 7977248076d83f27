//! Presentation times for containers that store none.
//!
//! AVI numbers its chunks and nothing else: a chunk's number is when it is decoded. Frames are
//! displayed in another order when there are B-frames. The n-th displayed frame gets the number
//! of the n-th chunk, which is what a Video for Windows player shows (one picture a chunk, the
//! first at 0), and keeps the sound in step.

use std::collections::VecDeque;

use ff::codec::Id;
use ffmpeg_next as ff;

use crate::MediaError;
use crate::ffi::{Picture, PictureParser};

/// Pictures that a decoder may hold back, the most that any level of H.264 and H.265 allows: with
/// as many waiting, the one with the lowest order count is next (H.264, C.4.5.3, "bumping").
const MOST_HELD: usize = 16;

/// Gives packets, in decoding order, the times at which they are displayed.
pub(crate) struct DisplayOrder {
    rule: Rule,
    /// In decoding order.
    waiting: VecDeque<Waiting>,
    /// Chunk numbers that no frame is displayed at yet, rising.
    free: VecDeque<i64>,
    unplaced: usize,
    place: Place,
}

enum Rule {
    /// Displayed as decoded.
    AsDecoded,
    /// A B-frame is displayed before the reference frame that precedes it (ISO 14496-2, 6.1.3.6).
    References(PictureParser),
    /// By order count, which begins anew at some key frames.
    OrderCount(PictureParser),
}

/// Where a picture is displayed among others: first by sequence, then by order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    sequence: u64,
    order: i64,
    minor: i64,
}

struct Waiting {
    packet: ff::Packet,
    place: Place,
    pts: Option<i64>,
}

impl DisplayOrder {
    /// For the packets of one stream.
    pub(crate) fn of(stream: &ff::format::stream::Stream<'_>) -> Result<Self, MediaError> {
        let rule = match stream.parameters().id() {
            Id::MPEG4 | Id::MPEG2VIDEO => Rule::References(PictureParser::open(stream)?),
            Id::H264 | Id::HEVC => Rule::OrderCount(PictureParser::open(stream)?),
            _ => Rule::AsDecoded,
        };
        Ok(Self {
            rule,
            waiting: VecDeque::new(),
            free: VecDeque::new(),
            unplaced: 0,
            place: Place::default(),
        })
    }

    /// Takes the next packet in decoding order; its DTS is its chunk's number.
    pub(crate) fn take(&mut self, packet: ff::Packet) -> Result<(), MediaError> {
        let number = packet
            .dts()
            .or(packet.pts())
            .ok_or_else(|| MediaError::broken("a video chunk has no number"))?;
        let place = match &mut self.rule {
            Rule::AsDecoded => self.place.after(),
            Rule::References(parser) => {
                let picture = parser.see(&packet);
                self.place.of_reference_order(picture)
            }
            Rule::OrderCount(parser) => {
                let picture = parser.see(&packet);
                self.place.of_order_count(picture, packet.is_key())
            }
        };
        if self.waiting.iter().any(|other| other.place.sequence < place.sequence) {
            self.place_all();
        }
        self.free.push_back(number);
        self.waiting.push_back(Waiting { packet, place, pts: None });
        self.unplaced += 1;
        while self.unplaced > MOST_HELD {
            self.place_next();
        }
        Ok(())
    }

    /// The next packet in decoding order whose time is known.
    pub(crate) fn next(&mut self) -> Option<ff::Packet> {
        self.waiting.front().and_then(|first| first.pts)?;
        let Waiting { mut packet, pts, .. } = self.waiting.pop_front()?;
        packet.set_pts(pts);
        packet.set_dts(None);
        Some(packet)
    }

    /// No further packets come.
    pub(crate) fn finish(&mut self) {
        self.place_all();
    }

    /// Begins anew, after a seek to a key frame.
    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
        self.free.clear();
        self.unplaced = 0;
        self.place = Place::default();
    }

    fn place_all(&mut self) {
        while self.unplaced > 0 {
            self.place_next();
        }
    }

    fn place_next(&mut self) {
        let next = self
            .waiting
            .iter_mut()
            .filter(|waiting| waiting.pts.is_none())
            .min_by_key(|waiting| waiting.place);
        if let Some(next) = next {
            next.pts = self.free.pop_front();
        }
        self.unplaced = self.unplaced.saturating_sub(1);
    }
}

/// `self` is the place of the latest picture (for order counts: of the latest displayed one).
impl Place {
    fn after(&mut self) -> Self {
        self.order += 1;
        *self
    }

    /// B-frames come between the two references before them, in the order in which they come.
    fn of_reference_order(&mut self, picture: Picture) -> Self {
        if picture.is_bidirectional {
            self.minor += 1;
            Self { order: self.order - 1, ..*self }
        } else {
            self.order += 1;
            self.minor = 0;
            *self
        }
    }

    /// A key frame that is not displayed after all pictures before it begins a new sequence.
    fn of_order_count(&mut self, picture: Picture, is_key: bool) -> Self {
        let order = i64::from(picture.order_count);
        if is_key && order <= self.order {
            self.sequence += 1;
            self.order = order;
        }
        self.order = self.order.max(order);
        Self { order, ..*self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn displayed(places: &[Place]) -> Vec<usize> {
        let mut ranks: Vec<usize> = (0..places.len()).collect();
        ranks.sort_by_key(|&at| places[at]);
        ranks
    }

    #[test]
    fn b_frames_are_displayed_before_the_reference_that_precedes_them() {
        let mut latest = Place::default();
        // I P B B P B
        let places: Vec<Place> = [false, false, true, true, false, true]
            .into_iter()
            .map(|is_bidirectional| Picture { is_bidirectional, order_count: 0 })
            .map(|picture| latest.of_reference_order(picture))
            .collect();
        assert_eq!(displayed(&places), [0, 2, 3, 1, 5, 4]);
    }

    #[test]
    fn order_counts_begin_anew_at_a_key_frame() {
        let mut latest = Place::default();
        let pictures = [
            (0, true),
            (8, false),
            (4, false),
            (2, false),
            (6, false),
            (0, true),
            (4, false),
            (2, false),
        ];
        let places: Vec<Place> = pictures
            .into_iter()
            .map(|(order_count, is_key)| {
                latest.of_order_count(Picture { is_bidirectional: false, order_count }, is_key)
            })
            .collect();
        assert_eq!(displayed(&places), [0, 3, 2, 4, 1, 5, 7, 6]);
    }

    #[test]
    fn an_open_group_goes_on_counting() {
        let mut latest = Place::default();
        // The second key frame (16) is displayed after frames (10, 12) that are decoded after it.
        let pictures = [(0, true), (8, false), (4, false), (16, true), (12, false), (10, false)];
        let places: Vec<Place> = pictures
            .into_iter()
            .map(|(order_count, is_key)| {
                latest.of_order_count(Picture { is_bidirectional: false, order_count }, is_key)
            })
            .collect();
        assert_eq!(displayed(&places), [0, 2, 1, 5, 4, 3]);
    }
}
