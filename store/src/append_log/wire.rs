//! Bytes put in their place.

/// Copies `from` to the place `at` of `to`; nothing where there is no room.
pub(super) fn put_at(to: &mut [u8], at: usize, from: &[u8]) -> Option<()> {
    to.get_mut(at..)?.get_mut(..from.len())?.copy_from_slice(from);
    Some(())
}
