//! Surgery on mp4 boxes and EBML elements.

/// One box with its header.
pub(crate) fn mp4_box(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len() + 8).unwrap();
    [&size.to_be_bytes(), &kind[..], body].concat()
}

/// Changes the body of the first box at `path`, and the sizes of those around it. The film's index
/// is behind its data, so no offset moves.
pub(crate) fn change(film: &[u8], path: &[&[u8; 4]], with: &dyn Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let (wanted, deeper) = path.split_first().unwrap();
    let (mut out, mut at, mut is_found) = (Vec::new(), 0, false);
    while at + 8 <= film.len() {
        let size = u32::from_be_bytes(film[at..at + 4].try_into().unwrap()) as usize;
        let (kind, body) = (&film[at + 4..at + 8], &film[at + 8..at + size]);
        if !is_found && kind == &wanted[..] {
            is_found = true;
            let body = if deeper.is_empty() { with(body) } else { change(body, deeper, with) };
            out.extend(mp4_box(wanted, &body));
        } else {
            out.extend(&film[at..at + size]);
        }
        at += size;
    }
    assert!(is_found, "no box {}", String::from_utf8_lossy(&wanted[..]));
    out
}

/// Overwrites bytes of a body.
pub(crate) fn overwritten(body: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut body = body.to_vec();
    body[at..at + bytes.len()].copy_from_slice(bytes);
    body
}

/// One EBML element with a size of eight bytes.
pub(crate) fn element(id: &[u8], body: &[u8]) -> Vec<u8> {
    let size = (body.len() as u64) | 1 << 56;
    [id, &size.to_be_bytes(), body].concat()
}

/// Where `needle` first is.
pub(crate) fn find(bytes: &[u8], needle: &[u8]) -> usize {
    bytes.windows(needle.len()).position(|window| window == needle).unwrap()
}
