//! A look into the records of a batch, for the one question that its header cannot answer:
//! which record has that time?

use bytes::Buf;

use crate::batch::{BatchHeader, HEADER_BYTES};

/// Offset and time of the first record at `from` or later whose time is accepted; of a compressed
/// batch, which the broker never unpacks, its first offset and latest time stand for all.
pub(crate) fn find(
    header: &BatchHeader,
    batch: &[u8],
    from: i64,
    accepts: impl Fn(i64) -> bool,
) -> Option<(i64, i64)> {
    if header.compressed {
        let offset = header.base_offset.max(from);
        return accepts(header.max_timestamp_ms).then_some((offset, header.max_timestamp_ms));
    }
    let mut rest = batch.get(HEADER_BYTES..)?;
    for _ in 0..header.records {
        let length = usize::try_from(varint(&mut rest)?).ok()?;
        let (mut record, behind) = rest.split_at_checked(length)?;
        rest = behind;
        // Attributes, of which there are none.
        record = record.get(1..)?;
        let time = header.base_timestamp_ms.checked_add(varint(&mut record)?)?;
        let offset = header.base_offset.checked_add(varint(&mut record)?)?;
        if offset >= from && accepts(time) {
            return Some((offset, time));
        }
    }
    None
}

/// A number of the record format: 7 bits a byte, lowest first, signs folded in.
fn varint(rest: &mut &[u8]) -> Option<i64> {
    let mut folded = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = rest.try_get_u8().ok()?;
        folded |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some((folded >> 1) as i64 ^ -((folded & 1) as i64));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::example;

    #[test]
    fn the_record_of_a_time_is_found_inside_its_batch() {
        let batch = example::timed(&[1_000, 5_000, 3_000, 9_000]);
        let header = BatchHeader::parse(&batch).unwrap();
        let first = |from, time| find(&header, &batch, from, |t| t >= time);
        assert_eq!(first(0, 0), Some((0, 1_000)));
        assert_eq!(first(0, 1_001), Some((1, 5_000)));
        assert_eq!(first(2, 1_001), Some((2, 3_000)));
        assert_eq!(first(0, 5_001), Some((3, 9_000)));
        assert_eq!(first(0, 9_001), None);
        assert_eq!(find(&header, &batch, 0, |time| time == 3_000), Some((2, 3_000)));
    }

    #[test]
    fn records_that_lie_about_their_lengths_end_the_search() {
        let good = example::timed(&[1_000, 5_000]);
        let header = BatchHeader::parse(&good).unwrap();
        for at in HEADER_BYTES..good.len() {
            for byte in [0x00, 0x7f, 0x80, 0xff] {
                let mut bad = good.to_vec();
                bad[at] = byte;
                // Any answer will do, as long as there is one.
                find(&header, &bad, 0, |time| time == 77);
            }
        }
    }
}
