//! Byteshuffle: all first bytes of the items, then all second bytes, and so on. Bytes of equal weight resemble each
//! other, which is what makes numbers compress.
//!
//! Items of 2, 4 and 8 bytes go through the transpose of 8 x 8 bytes in registers:
//!
//! ```text
//!   row r of the tile (a u64), items of    8 bytes: item r
//!                                          4 bytes: items r, r + 8
//!                                          2 bytes: items r, r + 8, r + 16, r + 24
//!   row c of its transpose: byte c of 8 items in a row
//! ```

/// Writes the bytes of `from`, items of `size` bytes, into `to` plane by plane; what is beyond the last whole item
/// stays at the end. Both are equally long.
pub(super) fn shuffle(size: usize, from: &[u8], to: &mut [u8]) {
    debug_assert_eq!(from.len(), to.len());
    let items = from.len() / size.max(1);
    let (from, rest) = from.split_at(items * size);
    let (to, end) = to.split_at_mut(items * size);
    end.copy_from_slice(rest);
    match size {
        0 | 1 => to.copy_from_slice(from),
        2 => tiles::<2, 32>(items, from, to),
        4 => tiles::<4, 16>(items, from, to),
        8 => tiles::<8, 8>(items, from, to),
        _ => scatter(size, 0, from, to),
    }
}

/// Undoes [`shuffle`].
pub(super) fn unshuffle(size: usize, from: &[u8], to: &mut [u8]) {
    debug_assert_eq!(from.len(), to.len());
    let items = from.len() / size.max(1);
    let (from, rest) = from.split_at(items * size);
    let (to, end) = to.split_at_mut(items * size);
    end.copy_from_slice(rest);
    match size {
        0 | 1 => to.copy_from_slice(from),
        2 => untiles::<2, 32>(items, from, to),
        4 => untiles::<4, 16>(items, from, to),
        8 => untiles::<8, 8>(items, from, to),
        _ => gather(size, 0, from, to),
    }
}

/// Transposes tiles of `N` items of `S` bytes, `S * N` = 64.
fn tiles<const S: usize, const N: usize>(items: usize, from: &[u8], to: &mut [u8]) {
    let mut planes = to.chunks_exact_mut(items.max(1));
    let mut planes: [_; S] = std::array::from_fn(|_| planes.next().unwrap_or_default().chunks_exact_mut(N));
    for tile in from.as_chunks::<64>().0 {
        let columns = transpose(std::array::from_fn(|row| {
            // The byte `b` of the item `row + 8 * k` goes to byte `S * k + b`.
            std::array::from_fn(|at| tile[(row + 8 * (at / S)) * S + at % S])
        }));
        for (byte, plane) in planes.iter_mut().enumerate() {
            for (k, part) in plane.next().unwrap_or_default().as_chunks_mut::<8>().0.iter_mut().enumerate() {
                *part = columns[S * k + byte];
            }
        }
    }
    scatter(S, items / N * N, from, to);
}

/// Undoes [`tiles`].
fn untiles<const S: usize, const N: usize>(items: usize, from: &[u8], to: &mut [u8]) {
    let mut planes = from.chunks_exact(items.max(1));
    let mut planes: [_; S] = std::array::from_fn(|_| planes.next().unwrap_or_default().chunks_exact(N));
    for tile in to.as_chunks_mut::<64>().0 {
        let mut columns = [[0; 8]; 8];
        for (byte, plane) in planes.iter_mut().enumerate() {
            for (k, part) in plane.next().unwrap_or_default().as_chunks::<8>().0.iter().enumerate() {
                columns[S * k + byte] = *part;
            }
        }
        let rows = transpose(columns);
        for (row, bytes) in rows.iter().enumerate() {
            for (k, item) in bytes.as_chunks::<S>().0.iter().enumerate() {
                let begin = (row + 8 * k) * S;
                tile[begin..begin + S].copy_from_slice(item);
            }
        }
    }
    gather(S, items / N * N, from, to);
}

/// Byte `c` of row `r` becomes byte `r` of row `c`: swaps the halves off the diagonal of 8 x 8, then of all 4 x 4, then of
/// all 2 x 2 bytes (Warren, Hacker's Delight, 7-3).
#[inline(always)]
fn transpose(rows: [[u8; 8]; 8]) -> [[u8; 8]; 8] {
    let mut x = rows.map(u64::from_le_bytes);
    for r in 0..4 {
        swap(&mut x, r, r + 4, 32, 0x0000_0000_ffff_ffff);
    }
    for r in [0, 1, 4, 5] {
        swap(&mut x, r, r + 2, 16, 0x0000_ffff_0000_ffff);
    }
    for r in [0, 2, 4, 6] {
        swap(&mut x, r, r + 1, 8, 0x00ff_00ff_00ff_00ff);
    }
    x.map(u64::to_le_bytes)
}

/// Swaps the masked upper parts of row `a` with the masked lower parts of row `b`.
#[inline(always)]
fn swap(x: &mut [u64; 8], a: usize, b: usize, shift: u32, mask: u64) {
    let moved = ((x[a] >> shift) ^ x[b]) & mask;
    x[b] ^= moved;
    x[a] ^= moved << shift;
}

/// Shuffles the items from `first` on, one byte at a time.
fn scatter(size: usize, first: usize, from: &[u8], to: &mut [u8]) {
    let items = from.len() / size;
    for (byte, plane) in to.chunks_exact_mut(items.max(1)).enumerate() {
        for (out, item) in plane.iter_mut().zip(from.chunks_exact(size)).skip(first) {
            *out = item[byte];
        }
    }
}

/// Undoes [`scatter`].
fn gather(size: usize, first: usize, from: &[u8], to: &mut [u8]) {
    let items = from.len() / size;
    for (byte, plane) in from.chunks_exact(items.max(1)).enumerate() {
        for (out, item) in plane.iter().zip(to.chunks_exact_mut(size)).skip(first) {
            item[byte] = *out;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn puts_every_byte_in_its_plane_and_back(size in 0usize..20, bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
            let mut shuffled = vec![0; bytes.len()];
            shuffle(size, &bytes, &mut shuffled);
            let step = size.max(1);
            let items = bytes.len() / step;
            for (i, byte) in bytes.iter().enumerate() {
                let at = if i < items * step { i % step * items + i / step } else { i };
                prop_assert_eq!(shuffled[at], *byte);
            }
            let mut back = vec![0; bytes.len()];
            unshuffle(size, &shuffled, &mut back);
            prop_assert_eq!(back, bytes);
        }
    }
}
