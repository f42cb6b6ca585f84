//! Lazy bags: collections of anything, in partitions, streamed.

mod blocks;
mod compress;
mod compression;
mod decompress;
mod encoding;
mod file_lines;
mod files;
mod lazy;
mod lines;
mod map;
mod memory;
mod number;
mod output;
mod pipeline;
mod range;
#[cfg(feature = "avro")]
mod read_avro;
mod read_binary;
mod read_json;
mod read_text;
mod reduce;
mod regroup;
mod run;
mod save;
mod statistics;
mod stored;
mod stream;
mod text;
#[cfg(feature = "avro")]
mod to_avro;
mod to_json_lines;
mod to_textfiles;
mod value;
mod work;

pub use compression::Compression;
pub use encoding::Errors;
pub use files::Paths;
pub use lazy::{Bag, from_sequence};
pub use number::Number;
pub use pipeline::Item;
pub use range::range;
#[cfg(feature = "avro")]
pub use read_avro::{AvroFiles, read_avro};
pub use read_binary::read_binary;
pub use read_json::read_json_lines;
pub use read_text::{TextFiles, read_text};
pub use regroup::concat;
pub use save::SaveBag;
pub use stream::Rows;
pub use text::TextMethods;
#[cfg(feature = "avro")]
pub use to_avro::{AvroCodec, ToAvro};
pub use to_json_lines::ToJsonLines;
pub use to_textfiles::ToTextFiles;
pub use value::BagValue;
