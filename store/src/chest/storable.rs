//! What a chest can keep.

use crate::{Arena, Block, BufferMut, Bytes, Chunk, Error, ErrorKind, Records, Result, serial};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::any::Any;
use std::io::Write;

/// A value that a chest can keep: every type of serde's, chunks, and what implements this by hand, with an encoding of its own.
///
/// A value of serde's is kept encoded, so that its size is exact and it is encoded once, whether it is spilled or not; `get` decodes it.
/// `Vec<u8>` is kept as it is. Chunks ([`Chunk`], [`Block`], [`Bytes`], [`Records`]) are kept without a copy from 64 KiB on.
///
/// A type with its own encoding says how it is written and read. It must not implement serde's traits too; one that does is
/// wrapped in another type.
///
/// ```
/// use chunkstore_store::{Chest, ChestOptions, Encoder, Error, ErrorKind, Result, Storable};
/// use std::io::Write;
/// # let folder = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
/// #[derive(Debug, PartialEq)]
/// struct Point(f32, f32);
/// impl Storable for Point {
///     fn encode(&self, out: &mut Encoder) -> Result<()> {
///         out.put(&self.0.to_le_bytes());
///         out.put(&self.1.to_le_bytes());
///         Ok(())
///     }
///     fn decode(bytes: &[u8]) -> Result<Self> {
///         let wrong = || Error::new(ErrorKind::Corrupt, "a point has 8 bytes");
///         let (x, y) = bytes.split_first_chunk::<4>().ok_or_else(wrong)?;
///         Ok(Point(f32::from_le_bytes(*x), f32::from_le_bytes(y.try_into().map_err(|_| wrong())?)))
///     }
/// }
/// let chest: Chest<String, Point> = Chest::temporary("1MiB", ChestOptions::in_folder(folder.path()))?;
/// chest.put("a", &Point(1.0, 2.0))?;
/// assert_eq!(*chest.get("a")?.expect("it was put"), Point(1.0, 2.0));
/// # Ok::<(), Error>(())
/// ```
///
/// What neither is serde's nor has an encoding cannot be kept:
///
/// ```compile_fail
/// use chunkstore_store::{Chest, ChestOptions};
/// struct Opaque(*const u8);
/// let chest: Chest<u64, Opaque> = Chest::temporary("1MiB", ChestOptions::default()).unwrap();
/// ```
pub trait Storable: Sized + 'static {
    /// Writes the value. It is called twice for a value of more than a few KiB, and must write the same both times.
    ///
    /// # Errors
    /// Those of the encoding; the value is not kept then.
    fn encode(&self, out: &mut Encoder) -> Result<()>;

    /// The value that [`Storable::encode`] wrote as `bytes`.
    ///
    /// # Errors
    /// Corrupt where they are not what it writes.
    fn decode(bytes: &[u8]) -> Result<Self>;

    /// The value as a chunk that shares its memory, where it is one.
    #[doc(hidden)]
    fn as_chunk(&self) -> Option<Chunk> {
        None
    }

    /// Whether values share the memory of the chunk that they come from.
    #[doc(hidden)]
    const SHARES: bool = false;

    /// Whether the encoded bytes are kept as bytes, not as one record.
    #[doc(hidden)]
    fn is_bytes() -> bool {
        false
    }

    /// The value that a chunk holds.
    #[doc(hidden)]
    fn from_chunk(chunk: Chunk) -> Result<Self> {
        match &chunk {
            Chunk::Records(Records { data, count: 1 }) => Self::decode(data),
            Chunk::Bytes(Bytes(data)) => Self::decode(data),
            _ => other_kind(),
        }
    }
}

/// Where a value is written when it is encoded.
#[derive(Debug)]
pub struct Encoder {
    /// The first bytes.
    small: Vec<u8>,
    most: usize,
    total: u64,
    /// Memory for all bytes, on the second pass.
    large: Option<BufferMut>,
}

impl Encoder {
    /// For values of which those up to `most` bytes need no memory of their own.
    pub(super) fn new(most: usize) -> Self {
        Encoder { small: Vec::with_capacity(most), most, total: 0, large: None }
    }

    /// Appends bytes.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) {
        match &mut self.large {
            None if self.small.len() + bytes.len() <= self.most => self.small.extend_from_slice(bytes),
            None => {}
            Some(buffer) => {
                let begin = usize::try_from(self.total).unwrap_or(usize::MAX).min(buffer.len());
                buffer.get_mut(begin..).unwrap_or_default().iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            }
        }
        self.total += bytes.len() as u64;
    }

    /// Encodes a value: its bytes where they are few, else a chunk in memory of `arena`. `room` is asked for that memory first.
    pub(super) fn run<V: Storable>(
        &mut self,
        value: &V,
        most: usize,
        arena: &Arena,
        room: impl FnOnce(u64) -> Result<()>,
    ) -> Result<Option<Chunk>> {
        (self.total, self.large) = (0, None);
        self.most = most;
        self.small.clear();
        value.encode(self)?;
        if self.total <= most as u64 {
            return Ok(None);
        }
        room(self.total)?;
        let first = self.total;
        let length = usize::try_from(first).map_err(|_| Error::new(ErrorKind::OutOfMemory, format!("a value of {first} bytes")))?;
        self.large = Some(arena.alloc(length)?);
        self.total = 0;
        let second = value.encode(self).map(|()| self.total);
        let (large, second) = (self.large.take(), second?);
        match large {
            Some(buffer) if second == first => {
                let data = buffer.freeze();
                Ok(Some(if V::is_bytes() { Chunk::Bytes(Bytes(data)) } else { Chunk::Records(Records { data, count: 1 }) }))
            }
            _ => Err(Error::new(ErrorKind::Invalid, format!("a value was encoded as {first} bytes, and again as {second}"))),
        }
    }

    /// The bytes of a value for which [`Encoder::run`] gave no chunk.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.small
    }
}

impl Write for Encoder {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.put(bytes);
        Ok(bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.put(bytes);
        Ok(())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<T: Serialize + DeserializeOwned + 'static> Storable for T {
    fn encode(&self, out: &mut Encoder) -> Result<()> {
        match (self as &dyn Any).downcast_ref::<Vec<u8>>() {
            Some(bytes) => {
                out.put(bytes);
                Ok(())
            }
            None => serial::encode_into(self, out),
        }
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        if Self::is_bytes() {
            let mut copy = Some(bytes.to_vec());
            if let Some(value) = (&mut copy as &mut dyn Any).downcast_mut::<Option<T>>().and_then(Option::take) {
                return Ok(value);
            }
        }
        match serial::decode(bytes, usize::MAX)? {
            (value, n) if n == bytes.len() => Ok(value),
            (_, n) => Err(Error::new(ErrorKind::Corrupt, format!("{} bytes are left over behind a value", bytes.len() - n))),
        }
    }

    fn is_bytes() -> bool {
        std::any::TypeId::of::<T>() == std::any::TypeId::of::<Vec<u8>>()
    }
}

fn other_kind<T>() -> Result<T> {
    Err(Error::new(ErrorKind::Invalid, "the value is of another type than those of this chest")
        .hint("open the chest with the type of values that it was made with"))
}

macro_rules! chunks {
    ($($type:ty: $self:ident => $chunk:expr, $pattern:pat => $value:expr;)*) => {$(
        impl Storable for $type {
            const SHARES: bool = true;

            fn encode(&self, out: &mut Encoder) -> Result<()> {
                let $self = self;
                let chunk: Chunk = $chunk;
                let (buffer, begin, len) = chunk.payload();
                out.put(buffer.get(begin..).and_then(|bytes| bytes.get(..len)).unwrap_or_default());
                Ok(())
            }

            fn decode(_: &[u8]) -> Result<Self> {
                other_kind()
            }

            fn as_chunk(&self) -> Option<Chunk> {
                let $self = self;
                Some($chunk)
            }

            #[allow(unreachable_patterns)]
            fn from_chunk(chunk: Chunk) -> Result<Self> {
                match chunk {
                    $pattern => Ok($value),
                    _ => other_kind(),
                }
            }
        }
    )*};
}

chunks! {
    Chunk: chunk => chunk.clone(), chunk => chunk;
    Block: block => Chunk::Block(block.clone()), Chunk::Block(block) => block;
    Bytes: bytes => Chunk::Bytes(bytes.clone()), Chunk::Bytes(bytes) => bytes;
    Records: records => Chunk::Records(records.clone()), Chunk::Records(records) => records;
}
