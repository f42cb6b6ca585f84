//! Lazy bags: collections of anything, in partitions, streamed.

mod accumulate;
mod best;
mod blocks;
mod compress;
mod compression;
mod counter;
mod decompress;
mod encoding;
mod file_lines;
mod files;
mod finite;
mod foldby;
mod frequencies;
#[cfg(feature = "url")]
mod from_url;
mod group_by;
mod growth;
mod join;
mod json;
mod lazy;
mod lines;
mod map;
mod map_partitions;
mod map_with;
mod memory;
mod number;
mod output;
mod partition_sizes;
mod pipeline;
mod pluck;
mod product;
mod random_sample;
mod range;
#[cfg(feature = "avro")]
mod read_avro;
mod read_binary;
mod read_json;
mod read_text;
mod reduce;
mod regroup;
mod repartition;
mod run;
mod save;
mod shuffled;
mod sort_by;
mod split;
mod splitters;
mod starmap;
mod statistics;
mod stored;
mod stream;
mod take;
mod text;
mod text_cut;
mod text_match;
#[cfg(feature = "avro")]
mod to_avro;
mod to_json_lines;
mod to_textfiles;
mod topk;
mod tree;
mod unzip;
mod value;
mod values;
mod with;
mod words;
mod work;
mod zip;

pub mod random;

pub use compression::Compression;
pub use encoding::Errors;
pub use files::Paths;
#[cfg(feature = "url")]
pub use from_url::from_url;
pub use group_by::Grouped;
pub use join::Joined;
pub use json::Json;
pub use lazy::{Bag, from_sequence};
pub use map_with::Broadcast;
pub use number::Number;
pub use pipeline::Item;
pub use pluck::Pluck;
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
pub(crate) use values::{decoded, gathered};
pub use zip::zip;
