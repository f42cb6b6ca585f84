//! Byteshuffle: all first bytes of the items, then all second bytes, and so on. Bytes of equal weight resemble each
//! other, which is what makes numbers compress.
//!
//! Items of 2 and 4 bytes go through plain loops over integers that the compiler turns into vector
//! instructions (loops over their bytes it does not). Items of 8 bytes go
//! through the transpose of 8 x 8 bytes in registers, which makes a word of the bytes of equal weight of eight items.

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
        2 => shuffle_2(items, from, to),
        4 => shuffle_4(items, from, to),
        8 => shuffle_8(items, from, to),
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
        2 => unshuffle_2(items, from, to),
        4 => unshuffle_4(items, from, to),
        8 => unshuffle_8(items, from, to),
        _ => gather(size, 0, from, to),
    }
}

fn shuffle_2(items: usize, from: &[u8], to: &mut [u8]) {
    let (low, high) = to.split_at_mut(items);
    for ((item, low), high) in from.as_chunks::<2>().0.iter().zip(low).zip(high) {
        let item = u16::from_le_bytes(*item);
        (*low, *high) = (item as u8, (item >> 8) as u8);
    }
}

fn unshuffle_2(items: usize, from: &[u8], to: &mut [u8]) {
    let (low, high) = from.split_at(items);
    for ((item, low), high) in to.as_chunks_mut::<2>().0.iter_mut().zip(low).zip(high) {
        *item = (u16::from(*low) | u16::from(*high) << 8).to_le_bytes();
    }
}

fn shuffle_4(items: usize, from: &[u8], to: &mut [u8]) {
    let (low, high) = to.split_at_mut(2 * items);
    let ((a, b), (c, d)) = (low.split_at_mut(items), high.split_at_mut(items));
    for ((((item, a), b), c), d) in from.as_chunks::<4>().0.iter().zip(a).zip(b).zip(c).zip(d) {
        let item = u32::from_le_bytes(*item);
        (*a, *b, *c, *d) = (item as u8, (item >> 8) as u8, (item >> 16) as u8, (item >> 24) as u8);
    }
}

fn unshuffle_4(items: usize, from: &[u8], to: &mut [u8]) {
    let (low, high) = from.split_at(2 * items);
    let ((a, b), (c, d)) = (low.split_at(items), high.split_at(items));
    for ((((item, a), b), c), d) in to.as_chunks_mut::<4>().0.iter_mut().zip(a).zip(b).zip(c).zip(d) {
        *item = (u32::from(*a) | u32::from(*b) << 8 | u32::from(*c) << 16 | u32::from(*d) << 24).to_le_bytes();
    }
}

fn shuffle_8(items: usize, from: &[u8], to: &mut [u8]) {
    let mut planes = to.chunks_exact_mut(items.max(1));
    let planes: [&mut [u8]; 8] = std::array::from_fn(|_| planes.next().unwrap_or_default());
    for (t, tile) in from.as_chunks::<64>().0.iter().enumerate() {
        let tile = tile.as_chunks::<8>().0;
        let columns = transpose(std::array::from_fn(|row| u64::from_le_bytes(tile[row])));
        for byte in 0..8 {
            planes[byte][8 * t..8 * t + 8].copy_from_slice(&columns[byte].to_le_bytes());
        }
    }
    scatter(8, items / 8 * 8, from, to);
}

fn unshuffle_8(items: usize, from: &[u8], to: &mut [u8]) {
    let mut planes = from.chunks_exact(items.max(1));
    let planes: [&[u8]; 8] = std::array::from_fn(|_| planes.next().unwrap_or_default());
    for (t, tile) in to.as_chunks_mut::<64>().0.iter_mut().enumerate() {
        let mut columns = [[0; 8]; 8];
        for byte in 0..8 {
            columns[byte].copy_from_slice(&planes[byte][8 * t..8 * t + 8]);
        }
        let rows = transpose(columns.map(u64::from_le_bytes));
        for (item, row) in tile.as_chunks_mut::<8>().0.iter_mut().zip(rows) {
            *item = row.to_le_bytes();
        }
    }
    gather(8, items / 8 * 8, from, to);
}

/// Byte `c` of row `r` becomes byte `r` of row `c`: swaps the halves off the diagonal of 8 x 8, then of all 4 x 4, then of
/// all 2 x 2 bytes (Warren, Hacker's Delight, 7-3).
#[inline(always)]
fn transpose(mut x: [u64; 8]) -> [u64; 8] {
    for r in 0..4 {
        swap(&mut x, r, r + 4, 32, 0x0000_0000_ffff_ffff);
    }
    for r in [0, 1, 4, 5] {
        swap(&mut x, r, r + 2, 16, 0x0000_ffff_0000_ffff);
    }
    for r in [0, 2, 4, 6] {
        swap(&mut x, r, r + 1, 8, 0x00ff_00ff_00ff_00ff);
    }
    x
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
