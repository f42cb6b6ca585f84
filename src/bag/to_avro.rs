//! Bags written to Avro files.

use super::compress::Out;
use super::compression::Compression;
use super::lazy::Bag;
use super::output::{Format, Target, write};
use super::pipeline::Item;
use super::read_avro::MAGIC;
use super::stream::{BoxStream, MORE};
use crate::graph::{Key, KeyBuilder};
use crate::{Collected, Collection, Error, ErrorKind, Result};
use apache_avro::{Codec, Schema, Writer};
use std::fmt;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How the blocks of an Avro file are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AvroCodec {
    /// Not at all.
    #[default]
    Null,
    /// As zlib does, without a checksum.
    Deflate,
    /// As Snappy does.
    Snappy,
    /// As Zstandard does.
    Zstandard,
    /// As bzip2 does.
    Bzip2,
}

impl AvroCodec {
    fn name(self) -> &'static str {
        match self {
            AvroCodec::Null => "null",
            AvroCodec::Deflate => "deflate",
            AvroCodec::Snappy => "snappy",
            AvroCodec::Zstandard => "zstandard",
            AvroCodec::Bzip2 => "bzip2",
        }
    }

    fn codec(self) -> Codec {
        match self {
            AvroCodec::Null => Codec::Null,
            AvroCodec::Deflate => Codec::Deflate(Default::default()),
            AvroCodec::Snappy => Codec::Snappy,
            AvroCodec::Zstandard => Codec::Zstandard(Default::default()),
            AvroCodec::Bzip2 => Codec::Bzip2(Default::default()),
        }
    }
}

impl<T: Item> Bag<T> {
    /// The writing of this bag to Avro files, one for each partition, whose records have the given schema, as JSON. It happens when it is computed, and gives the paths of the files in the order of
    /// partitions. Paths and what is left where anything fails are those of [`Bag::to_textfiles`]; see [`read_avro`](crate::bag::read_avro) for an example.
    #[track_caller]
    pub fn to_avro(&self, path: impl AsRef<Path>, schema: impl Into<String>) -> ToAvro<T> {
        let (line, text) = (Location::caller(), schema.into());
        let wrong = |e| Error::new(ErrorKind::Invalid, format!("this is no schema of Avro: {e}")).from_line(line);
        let schema = Schema::parse_str(&text).map(|schema| Arc::new((schema, text))).map_err(wrong);
        let mut target = Target::new(path.as_ref(), ".part", line);
        // Blocks are compressed, not files.
        target.compression(Compression::None);
        ToAvro { bag: self.clone(), target, schema, codec: AvroCodec::Null }
    }
}

/// Avro files to be written, as a value to compute: see [`Bag::to_avro`].
#[must_use = "the files are written when this is computed"]
pub struct ToAvro<T: Item> {
    bag: Bag<T>,
    target: Target,
    schema: Result<Arc<(Schema, String)>>,
    codec: AvroCodec,
}

impl<T: Item> Clone for ToAvro<T> {
    fn clone(&self) -> Self {
        ToAvro { bag: self.bag.clone(), target: self.target.clone(), schema: self.schema.clone(), codec: self.codec }
    }
}

impl<T: Item> fmt::Debug for ToAvro<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToAvro").field("bag", &self.bag).field("target", &self.target).finish_non_exhaustive()
    }
}

impl<T: Item> ToAvro<T> {
    /// What stands for the number of a partition in the name of its file, in place of the number with as many digits as the last one has.
    pub fn name_function(mut self, name: impl Fn(usize) -> String + Send + Sync + 'static) -> Self {
        self.target.name_function(name);
        self
    }

    /// How blocks are compressed.
    pub fn codec(mut self, codec: AvroCodec) -> Self {
        self.codec = codec;
        self
    }
}

struct Avro {
    schema: Arc<(Schema, String)>,
    codec: AvroCodec,
    /// What the markers of files follow from: the same for the same bag.
    key: Key,
}

impl Avro {
    /// What stands before the blocks. It is written here, since the writer of blocks writes the metadata in any order.
    fn header(&self, marker: [u8; 16]) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        let entries = [("avro.codec", self.codec.name()), ("avro.schema", &self.schema.1)];
        long(entries.len(), &mut out);
        for text in entries.iter().flat_map(|(name, value)| [name, value]) {
            long(text.len(), &mut out);
            out.extend_from_slice(text.as_bytes());
        }
        long(0, &mut out);
        out.extend_from_slice(&marker);
        out
    }

    /// Writes the blocks. Gives what the writer of them fails with; the errors of the elements are errors.
    fn blocks<T: Item>(&self, rows: &mut BoxStream<T>, marker: [u8; 16], out: &mut Out) -> Result<Option<apache_avro::Error>> {
        let made = Writer::builder().schema(&self.schema.0).writer(out).codec(self.codec.codec()).marker(marker).has_header(true).build();
        let mut writer = match made {
            Ok(writer) => writer,
            Err(e) => return Ok(Some(e)),
        };
        let mut failed = None;
        let done = rows.each(&mut |item| match writer.append_ser(&item) {
            Ok(_) => Ok(MORE),
            Err(e) => {
                failed = Some(e);
                Err(Error::new(ErrorKind::Type, "a record cannot be written"))
            }
        });
        if failed.is_some() {
            return Ok(failed);
        }
        done?;
        Ok(writer.flush().err())
    }
}

/// Appends a length.
fn long(number: usize, out: &mut Vec<u8>) {
    let mut left = (number as u64) << 1;
    while left > 0x7f {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

impl<T: Item> Format<T> for Avro {
    fn name(&self) -> &'static str {
        "to_avro"
    }

    fn scratch(&self) -> u64 {
        // A block of 16 KB and a record, as they are and compressed, and what the codec holds.
        match self.codec {
            AvroCodec::Null | AvroCodec::Snappy => 1 << 20,
            AvroCodec::Deflate => 2 << 20,
            AvroCodec::Zstandard | AvroCodec::Bzip2 => 9 << 20,
        }
    }

    fn write(&self, partition: u32, mut rows: BoxStream<T>, out: &mut Out) -> Result<()> {
        let Key(marker) = KeyBuilder::new("avro", 1).input(self.key).text(&self.schema.1).number(partition.into()).finish();
        out.push(&self.header(marker))?;
        let what = std::any::type_name::<T>();
        match self.blocks(&mut rows, marker, &mut *out)? {
            None => Ok(()),
            Some(e) => {
                Err(out.failure(|| Error::new(ErrorKind::Type, format!("a {what} cannot be written as a record of the schema: {e}"))))
            }
        }
    }
}

impl<T: Item> Collection for ToAvro<T> {
    type Output = Vec<PathBuf>;

    fn collect(&self) -> Result<Collected<Vec<PathBuf>>> {
        let format = Avro { schema: self.schema.clone()?, codec: self.codec, key: self.bag.key()? };
        write(&self.bag, &self.target, format)
    }
}
