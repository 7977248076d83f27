//! Which groups of pictures of a core are encoded anew, and which are copied.

use std::ops::Range;

use crate::scan::VideoPacket;

/// Neighbouring groups of pictures that are treated alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// Times of its pictures, source PTS ticks.
    pub(crate) times: Range<i64>,
    /// Its packets stay as they are.
    pub(crate) is_copied: bool,
}

/// The stretches of a core, side by side: a group is copied where all of its pictures are clear.
///
/// `packets` are those of the core with source times; each group begins with a key frame and no
/// picture of a later one is displayed before it, as [`Scan::smart`](crate::scan::Scan::smart)
/// demands.
pub(crate) fn stretches(
    packets: &[VideoPacket],
    core: &Range<i64>,
    is_clear: &dyn Fn(i64) -> bool,
) -> Vec<Stretch> {
    let mut groups: Vec<Stretch> = Vec::new();
    for packet in packets {
        let is_copied = is_clear(packet.pts);
        match groups.last_mut() {
            Some(group) if !packet.is_key => group.is_copied &= is_copied,
            last => {
                let start = last.map_or(core.start, |last| {
                    last.times.end = packet.pts;
                    packet.pts
                });
                groups.push(Stretch { times: start..core.end, is_copied });
            }
        }
    }
    groups.dedup_by(|next, before| {
        let is_alike = next.is_copied == before.is_copied;
        if is_alike {
            before.times.end = next.times.end;
        }
        is_alike
    });
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Groups of four pictures I P B B, each lasting 10 ticks, from 100 on.
    fn of(groups: i64, masked: &[i64]) -> Vec<(Range<i64>, bool)> {
        let packets: Vec<VideoPacket> = (0..groups)
            .flat_map(|group| [0, 3, 1, 2].map(|place| (group, place)))
            .map(|(group, place)| VideoPacket {
                pts: 100 + (group * 4 + place) * 10,
                is_key: place == 0,
                is_shown: true,
            })
            .collect();
        let end = 100 + groups * 40;
        let is_clear = |pts| !masked.contains(&pts);
        let found = stretches(&packets, &(100..end), &is_clear);
        found.into_iter().map(|stretch| (stretch.times, stretch.is_copied)).collect()
    }

    #[test]
    fn a_core_without_masks_is_copied_and_one_full_of_them_is_not() {
        assert_eq!(of(3, &[]), [(100..220, true)]);
        assert_eq!(of(3, &[100, 140, 180]), [(100..220, false)]);
    }

    #[test]
    fn one_masked_picture_makes_its_group_encoded_and_no_other() {
        for pts in [140, 150, 160, 170] {
            assert_eq!(of(3, &[pts]), [(100..140, true), (140..180, false), (180..220, true)]);
        }
        assert_eq!(of(3, &[130]), [(100..140, false), (140..220, true)]);
        assert_eq!(of(3, &[180]), [(100..180, true), (180..220, false)]);
    }

    #[test]
    fn groups_that_are_alike_are_one_stretch() {
        assert_eq!(of(4, &[150, 210]), [(100..140, true), (140..220, false), (220..260, true)]);
    }

    #[test]
    fn what_comes_before_the_first_key_frame_belongs_to_the_first_group() {
        let packet = |pts, is_key| VideoPacket { pts, is_key, is_shown: true };
        let packets = [packet(5, false), packet(15, false), packet(25, true)];
        let found = stretches(&packets, &(5..35), &|pts| pts != 15);
        let found: Vec<_> = found.into_iter().map(|one| (one.times, one.is_copied)).collect();
        assert_eq!(found, [(5..25, false), (25..35, true)]);
    }
}
