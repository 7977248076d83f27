//! H.265 headers: only what kind of random access point a packet is (ITU-T H.265, 7.4.2.2).

const FIRST_IDR: u8 = 19;
const LAST_IDR: u8 = 20;
const FIRST_NOT_PICTURE: u8 = 32;

/// Whether the first picture of a packet is an IDR picture: pictures displayed before it can be
/// decoded, unlike those before other random access points.
pub(crate) fn is_idr(packet: &[u8]) -> bool {
    let is_annex_b = packet.starts_with(&[0, 0, 1]) || packet.starts_with(&[0, 0, 0, 1]);
    let kind = if is_annex_b { first_of_annex_b(packet) } else { first_of_lengths(packet) };
    kind.is_some_and(|kind| (FIRST_IDR..=LAST_IDR).contains(&kind))
}

fn kind_of(header: u8) -> Option<u8> {
    Some(header >> 1 & 63).filter(|&kind| kind < FIRST_NOT_PICTURE)
}

fn first_of_annex_b(packet: &[u8]) -> Option<u8> {
    packet.windows(4).filter(|window| window.starts_with(&[0, 0, 1])).find_map(|w| kind_of(w[3]))
}

fn first_of_lengths(mut packet: &[u8]) -> Option<u8> {
    loop {
        let (length, after) = packet.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (unit, after) = after.split_at_checked(length)?;
        if let Some(kind) = kind_of(*unit.first()?) {
            return Some(kind);
        }
        packet = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_picture_decides_behind_its_parameter_sets() {
        let (vps, idr, cra) = (32 << 1, 19 << 1, 21 << 1);
        assert!(is_idr(&[0, 0, 0, 1, vps, 1, 9, 0, 0, 1, idr, 1, 7]));
        assert!(!is_idr(&[0, 0, 0, 1, vps, 1, 9, 0, 0, 1, cra, 1, 7]));
        assert!(is_idr(&[0, 0, 0, 2, vps, 1, 0, 0, 0, 2, idr, 1]));
        assert!(!is_idr(&[0, 0, 0, 2, cra, 1]));
        assert!(!is_idr(&[0, 0, 0, 9, idr]));
    }
}
