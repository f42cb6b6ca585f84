//! Reading a file from front to back, in pieces.

use crate::io::BackendFile;
use crate::{Booking, Ledger, Result};

/// The bytes that are read at a time, unless a record is longer.
const WINDOW: usize = 1 << 20;

/// Bytes of a file that are in memory, and the rest of it.
#[derive(Debug)]
pub(super) struct Window<'a> {
    file: &'a dyn BackendFile,
    /// The file as long as it was; what is written behind it meanwhile does not exist.
    len: u64,
    begin: u64,
    bytes: Vec<u8>,
    /// The most that is read at a time, unless more is asked for.
    most: usize,
    booking: Booking,
}

impl<'a> Window<'a> {
    /// Nothing of the file yet; what is read is booked in `ledger`.
    ///
    /// # Errors
    /// That of asking for the length.
    pub(super) fn new(file: &'a dyn BackendFile, ledger: &Ledger) -> Result<Self> {
        Ok(Window { len: file.len()?, file, begin: 0, bytes: Vec::new(), most: WINDOW, booking: ledger.book(0)? })
    }

    /// As [`Window::new`], for a look at a few bytes.
    ///
    /// # Errors
    /// As there.
    pub(super) fn short(file: &'a dyn BackendFile) -> Result<Self> {
        Ok(Window { most: 0, ..Window::new(file, &Ledger::new(u64::MAX))? })
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// The bytes from `offset` on: `want` of them, or fewer where the file ends.
    pub(super) fn get(&mut self, offset: u64, want: usize) -> Result<&[u8]> {
        let there = self.len.saturating_sub(offset);
        let want = usize::try_from(there).unwrap_or(usize::MAX).min(want);
        if want == 0 {
            return Ok(&[]);
        }
        let held = offset.checked_sub(self.begin).filter(|from| from + want as u64 <= self.bytes.len() as u64);
        let from = match held {
            Some(from) => from as usize,
            None => {
                let read = usize::try_from(there).unwrap_or(usize::MAX).min(want.max(self.most));
                if read as u64 > self.booking.bytes() {
                    self.booking.grow(read as u64 - self.booking.bytes())?;
                }
                self.bytes.clear();
                self.bytes.resize(read, 0);
                self.begin = offset;
                if let Err(error) = self.file.read_at(offset, &mut self.bytes) {
                    self.bytes.clear();
                    return Err(error);
                }
                0
            }
        };
        Ok(self.bytes.get(from..from + want).unwrap_or_default())
    }
}
