//! Octets that came in pieces, looked at as one.

/// The first octets of `slices`, which follow each other: where they lie if that is one piece, else at most `most` of them put
/// together in `room`.
pub(crate) fn in_one_piece<'a>(
    mut slices: impl Iterator<Item = &'a [u8]>,
    most: usize,
    room: &'a mut Vec<u8>,
) -> &'a [u8] {
    let first = slices.next().unwrap_or_default();
    let Some(second) = slices.next() else { return first };
    room.clear();
    for slice in [first, second].into_iter().chain(slices) {
        let missing = most.saturating_sub(room.len());
        if missing == 0 {
            break;
        }
        room.extend_from_slice(slice.get(..missing).unwrap_or(slice));
    }
    room
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_put_together_and_one_is_left_where_it_lies() {
        let mut room = b"left over".to_vec();
        let whole: &[u8] = b"one piece";
        assert!(std::ptr::eq(in_one_piece([whole].into_iter(), 3, &mut room), whole));
        let pieces: [&[u8]; 4] = [b"a", b"bc", b"", b"def"];
        assert_eq!(in_one_piece(pieces.into_iter(), 5, &mut room), b"abcde");
        assert_eq!(in_one_piece(pieces.into_iter(), 100, &mut room), b"abcdef");
        assert_eq!(in_one_piece([].into_iter(), 5, &mut room), b"");
    }
}
