//! Strided copies in n dimensions.

use crate::{Error, ErrorKind, Result};

/// Copies elements of `item` bytes (1, 2, 4, 8 or any other size) between two strided views of one shape. Offsets and
/// strides count items.
///
/// # Errors
/// Invalid where the numbers of axes differ or a view leaves its bytes; nothing is written then.
#[expect(clippy::too_many_arguments, reason = "two views of bytes, each with where it starts and its strides")]
pub(crate) fn copy_strided(
    item: usize,
    shape: &[usize],
    src: &[u8],
    src_offset: usize,
    src_strides: &[isize],
    dst: &mut [u8],
    dst_offset: usize,
    dst_strides: &[isize],
) -> Result<()> {
    let _ = (item, shape, src, src_offset, src_strides, dst, dst_offset, dst_strides);
    Err(Error::new(ErrorKind::Unsupported, "not built yet"))
}

/// Reverses the bytes of every item of `item` bytes; what remains after the last whole item stays.
pub(crate) fn byteswap(item: usize, bytes: &mut [u8]) {
    for bytes in bytes.chunks_exact_mut(item.max(1)) {
        bytes.reverse();
    }
}
