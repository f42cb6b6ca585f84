//! Reading regions of a `.npy` file.

use super::header::Header;
use super::region::{Region, STAGE, Span};
use crate::{Error, Result};
use chunkstore_store::{Arena, Block, BufferMut, DType, InputFile, Shape, Stamp};

/// What direct reads are rounded to.
const PAGE: u64 = 4096;

/// A `.npy` file, open for reading any region of its array. Clones share it, and any number of threads may read at a time.
///
/// Regions are counted in *storage order*: an array that is stored in Fortran order is a C-order array of the reversed shape, and its transposed
/// view is the array that NumPy shows.
#[derive(Debug, Clone)]
pub(crate) struct NpyFile {
    file: InputFile,
    header: Header,
}

impl NpyFile {
    /// Opens the file and reads its header.
    ///
    /// # Errors
    /// Io where it cannot be read, Corrupt or Truncated where it is not whole, Unsupported where its elements are of no type that is
    /// supported: the error says how to convert them.
    pub(crate) fn open(path: impl AsRef<std::path::Path>) -> Result<NpyFile> {
        let file = InputFile::open(path)?;
        let header = Header::read(&file)?;
        Ok(NpyFile { file, header })
    }

    /// The type of the elements, in memory: bytes are swapped to this machine's order.
    pub(crate) fn dtype(&self) -> DType {
        self.header.dtype
    }

    /// The extents as NumPy shows them.
    pub(crate) fn shape(&self) -> &[usize] {
        &self.header.shape
    }

    /// Whether the file is in Fortran order: the first axis is the fastest.
    pub(crate) fn fortran(&self) -> bool {
        self.header.fortran
    }

    /// The extents in storage order, the last being the fastest: reversed for a file in Fortran order.
    pub(crate) fn storage_shape(&self) -> Shape {
        if self.header.fortran { self.header.shape.iter().rev().copied().collect() } else { self.header.shape.clone() }
    }

    /// The bytes of the array.
    pub(crate) fn nbytes(&self) -> u64 {
        self.header.nbytes()
    }

    /// Path, length and time of the last write, for keys.
    pub(crate) fn stamp(&self) -> &Stamp {
        self.file.stamp()
    }

    /// The open file, for its counters of bytes read.
    pub(crate) fn file(&self) -> &InputFile {
        &self.file
    }

    /// Reads a region, one span for each axis in storage order, as a block in C order.
    ///
    /// A region whose bytes stand together is read into the block's own buffer; any other goes through scratch memory of [`NpyFile::scratch_bytes`], and short
    /// gaps are read along.
    ///
    /// # Errors
    /// Shape where the region is not in the array; Truncated, Corrupt or Io where the file is damaged, changed since it was opened, or cannot be
    /// read; out of memory where the arena has no room.
    pub(crate) fn read_region(&self, spans: &[Span], arena: &Arena) -> Result<Block> {
        let (region, dtype) = (self.region(spans)?, self.header.dtype);
        let (mut buffer, mut start) = match region.contiguous() {
            Some(base) => self.file.read_mut(self.header.data + base as u64, region.bytes, arena)?,
            None => (self.gather(&region, arena)?, 0),
        };
        self.file.check_unchanged()?;
        // An odd place in the file, as other writers than NumPy leave it: the elements move down to the next even one.
        let odd = start % dtype.size();
        if odd > 0 {
            buffer.copy_within(start..start + region.bytes, start - odd);
            start -= odd;
        }
        if self.header.swapped {
            swap(&mut buffer[start..start + region.bytes], dtype.size());
        }
        Block::new(buffer.freeze(), start, dtype, region.shape).map_err(|e| Error::from(e.at(self.file.path())))
    }

    /// The bytes that reading the region books for the block, at most.
    pub(crate) fn block_bytes(&self, spans: &[Span]) -> Result<u64> {
        let region = self.region(spans)?;
        Ok(match region.contiguous() {
            Some(base) => InputFile::footprint(self.header.data + base as u64, region.bytes),
            None => Arena::footprint(region.bytes),
        })
    }

    /// The bytes that reading the region books beside the block, and gives back.
    pub(crate) fn scratch_bytes(&self, spans: &[Span]) -> Result<u64> {
        let region = self.region(spans)?;
        Ok(if region.contiguous().is_some() { 0 } else { Arena::footprint(stage_space(&region)) })
    }

    /// The bytes of the file that reading the region reads: whole pages, with the gaps that are read along.
    pub(crate) fn load_bytes(&self, spans: &[Span]) -> Result<u64> {
        let region = self.region(spans)?;
        let pages = |start: usize, len: usize| {
            let start = self.header.data + start as u64;
            let end = (start + len as u64).next_multiple_of(PAGE).min(self.file.size());
            if len == 0 { 0 } else { end - start / PAGE * PAGE }
        };
        if let Some(base) = region.contiguous() {
            return Ok(pages(base, region.bytes));
        }
        let mut bytes = 0;
        region.batches(|batch| {
            bytes += pages(batch.start, batch.len);
            Ok(())
        })?;
        Ok(bytes)
    }

    fn region(&self, spans: &[Span]) -> Result<Region> {
        Region::new(&self.storage_shape(), spans, self.header.dtype.size()).map_err(|e| e.at(self.file.path()))
    }

    /// Reads a region whose bytes do not stand together, batch after batch.
    fn gather(&self, region: &Region, arena: &Arena) -> Result<BufferMut> {
        let mut block = arena.alloc(region.bytes)?;
        let mut stage = arena.alloc(stage_space(region))?;
        region.batches(|batch| {
            let start = self.file.read_within(self.header.data + batch.start as u64, batch.len, &mut stage)?;
            batch.scatter(&stage[start..start + batch.len], &mut block);
            Ok(())
        })?;
        Ok(block)
    }
}

/// The memory in which any batch of `region` can be read.
fn stage_space(region: &Region) -> usize {
    // The worst place in a page.
    InputFile::space(PAGE - 1, region.span().min(STAGE))
}

/// Turns the bytes of every element around.
fn swap(bytes: &mut [u8], size: usize) {
    match size {
        2 => swap_each::<2>(bytes),
        4 => swap_each::<4>(bytes),
        8 => swap_each::<8>(bytes),
        _ => {}
    }
}

fn swap_each<const N: usize>(bytes: &mut [u8]) {
    for element in bytes.as_chunks_mut::<N>().0 {
        element.reverse();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use chunkstore_store::Ledger;
    use std::path::PathBuf;

    fn arena(limit: u64) -> Arena {
        Arena::new(Ledger::new(limit))
    }

    fn golden(name: &str) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/npy").join(name)
    }

    fn index() -> serde_json::Value {
        serde_json::from_str(&std::fs::read_to_string(golden("index.json")).unwrap()).unwrap()
    }

    fn whole(shape: &[usize]) -> Vec<Span> {
        shape.iter().map(|n| (0, 1, *n)).collect()
    }

    /// The elements as JSON has them.
    fn values(block: &Block) -> Vec<serde_json::Value> {
        macro_rules! by_type {
            ($($d:ident: $t:ty),*) => { match block.dtype() { $(DType::$d => block.as_slice::<$t>().unwrap().iter().map(|x| json(*x)).collect()),* } };
        }
        fn json<T: Into<serde_json::Value>>(x: T) -> serde_json::Value {
            x.into()
        }
        by_type!(Bool: bool, I8: i8, I16: i16, I32: i32, I64: i64, U8: u8, U16: u16, U32: u32, U64: u64, F32: f32, F64: f64)
    }

    /// Where in C order the elements of an array in Fortran order go.
    fn transposed(values: Vec<serde_json::Value>, shape: &[usize]) -> Vec<serde_json::Value> {
        let mut out = vec![serde_json::Value::Null; values.len()];
        for (k, value) in values.into_iter().enumerate() {
            let (mut rest, mut place, mut stride) = (k, 0, out.len());
            for extent in shape {
                stride /= extent;
                place += rest % extent * stride;
                rest /= extent;
            }
            out[place] = value;
        }
        out
    }

    #[test]
    fn reads_every_golden_file_as_numpy_does() {
        let index = index();
        let files = index["good"].as_array().unwrap();
        assert!(files.len() > 90);
        for entry in files {
            let name = entry["file"].as_str().unwrap();
            let npy = NpyFile::open(golden(name)).unwrap();
            assert_eq!(npy.dtype().name(), entry["dtype"], "{name}");
            assert_eq!(serde_json::json!(npy.shape()), entry["shape"], "{name}");
            assert_eq!(npy.fortran(), entry["fortran"].as_bool().unwrap(), "{name}");
            let block = npy.read_region(&whole(&npy.storage_shape()), &arena(1 << 20)).unwrap();
            assert_eq!(block.shape(), &npy.storage_shape()[..], "{name}");
            let mut values = values(&block);
            if npy.fortran() {
                values = transposed(values, npy.shape());
            }
            assert_eq!(serde_json::json!(values), entry["values"], "{name}");
            // Backwards, which goes the other way through the file reader.
            let back: Vec<Span> = npy.storage_shape().iter().map(|n| (n.saturating_sub(1), -1, *n)).collect();
            let mut turned = super::tests::values(&npy.read_region(&back, &arena(1 << 21)).unwrap());
            turned.reverse();
            let straight = super::tests::values(&block);
            assert_eq!(turned, straight, "{name}");
        }
    }

    #[test]
    fn names_what_is_wrong_with_every_bad_golden_file() {
        for entry in index()["bad"].as_array().unwrap() {
            let name = entry["file"].as_str().unwrap();
            let path = golden(name);
            let read = |npy: NpyFile| npy.read_region(&whole(&npy.storage_shape()), &arena(1 << 20));
            let error = NpyFile::open(&path).and_then(read).map(|_| name).unwrap_err();
            assert_eq!(format!("{:?}", error.kind()), entry["kind"].as_str().unwrap(), "{name}: {error}");
            assert_eq!(error.path().unwrap(), path.canonicalize().unwrap(), "{name}");
            if error.kind() == ErrorKind::Unsupported {
                assert!(error.to_string().contains("numpy.save") || error.to_string().contains("np.save"), "{name}: {error}");
            }
        }
    }

    #[test]
    fn a_truncated_file_says_how_much_is_missing() {
        let error = NpyFile::open(golden("bad/truncated-data.npy")).unwrap_err().to_string();
        assert!(error.contains("promises 48 bytes") && error.contains("has 37"), "{error}");
    }

    fn big(folder: &tempfile::TempDir, shape: &[usize]) -> NpyFile {
        let n: usize = shape.iter().product();
        let mut bytes = Header::write(DType::U32, shape);
        (0..n as u32).for_each(|i| bytes.extend_from_slice(&i.to_le_bytes()));
        let path = folder.path().join("big.npy");
        std::fs::write(&path, bytes).unwrap();
        NpyFile::open(path).unwrap()
    }

    #[test]
    fn books_and_loads_what_it_says() {
        let folder = tempfile::tempdir().unwrap();
        let npy = big(&folder, &[1000, 3000]);
        for spans in [
            [(0, 1, 1000), (0, 1, 3000)],
            [(17, 1, 300), (0, 1, 3000)],
            [(999, -1, 1000), (0, 1, 3000)],
            [(0, 1, 1000), (1000, 1, 10)],
            [(5, 7, 100), (2999, -3, 900)],
            [(500, 1, 1), (5, 1, 100)],
            [(0, 1, 1000), (2999, 1, 1)],
            [(3, 100, 9), (0, 1, 2999)],
        ] {
            let stated = npy.block_bytes(&spans).unwrap() + npy.scratch_bytes(&spans).unwrap();
            assert!(npy.scratch_bytes(&spans).unwrap() <= 1 << 20);
            // Small buffers come from slabs, which count whole.
            let arena = arena(stated + (512 << 10));
            let block = npy.read_region(&spans, &arena).unwrap();
            arena.trim();
            assert!(arena.ledger().used() - arena.slack() <= npy.block_bytes(&spans).unwrap());
            let index = |(start, step, _): Span, i: usize| start.wrapping_add_signed(i as isize * step);
            let expected: Vec<u32> = (0..spans[0].2)
                .flat_map(|i| (0..spans[1].2).map(move |j| (index(spans[0], i) * 3000 + index(spans[1], j)) as u32))
                .collect();
            assert!(block.as_slice::<u32>().unwrap() == expected, "{spans:?}");
            let before = npy.file().disk_bytes() + npy.file().cache_bytes();
            npy.read_region(&spans, &arena_of(64)).unwrap();
            assert_eq!(npy.file().disk_bytes() + npy.file().cache_bytes() - before, npy.load_bytes(&spans).unwrap(), "{spans:?}");
        }
        // One column of pages: far fewer bytes than the file has.
        assert!(npy.load_bytes(&[(0, 100, 10), (0, 1, 5)]).unwrap() <= 10 * 8192);
        assert_eq!(npy.load_bytes(&[(0, 1, 0), (0, 1, 5)]).unwrap(), 0);
        assert_eq!(npy.read_region(&[(0, 1, 0), (0, 1, 5)], &arena_of(1)).unwrap().shape(), &[0, 5]);
    }

    fn arena_of(mebibytes: u64) -> Arena {
        arena(mebibytes << 20)
    }

    #[test]
    fn errors_leave_nothing_booked() {
        let folder = tempfile::tempdir().unwrap();
        let npy = big(&folder, &[1000, 3000]);
        let arena = arena(4 << 20);
        assert_eq!(npy.read_region(&[(0, 1, 1000), (0, 1, 3000)], &arena).unwrap_err().kind(), ErrorKind::OutOfMemory);
        assert_eq!(npy.read_region(&[(0, 1, 1001), (0, 1, 3)], &arena).unwrap_err().kind(), ErrorKind::Shape);
        std::fs::OpenOptions::new().write(true).open(&npy.stamp().path).unwrap().set_len(1 << 20).unwrap();
        for spans in [[(600, 1, 9), (0, 1, 3000)], [(600, 1, 9), (0, 1, 3)], [(0, 1, 9), (0, 1, 3)]] {
            assert_eq!(npy.read_region(&spans, &arena).unwrap_err().kind(), ErrorKind::Truncated);
        }
        arena.trim();
        assert_eq!(arena.ledger().used(), 0);
    }
}
