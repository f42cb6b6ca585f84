//! Folders of append logs.

use crate::failure::{Exit, Failure, Result};
use crate::output::{Output, Style};
use crate::owner::{here_or_below, is_locked, sizes};
use crate::summary::{plural, ratio, ratio_text, rounded};
use crate::units::bytes;
use chunkstore_store::{Arena, ByteLog, LogOptions, LogSizes, checksum};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The bytes of the header of an index, and what it begins with: `store/FORMAT.md` describes it.
const HEADER: usize = 64;
const MAGIC: &[u8] = b"CHNKALOG\x01\0\0\0";

/// The folder of an append log.
#[derive(Clone, Debug)]
pub(crate) struct LogFolder {
    pub(crate) path: PathBuf,
    /// How many partitions it has; none where no header that says it is sound.
    pub(crate) partitions: Option<u32>,
    /// Who has written to it, and how many of them have it open.
    pub(crate) writers: u64,
    pub(crate) running: u64,
}

/// A log that was opened, and what is in each of its partitions.
pub(crate) struct OpenLog {
    pub(crate) log: ByteLog,
    pub(crate) sizes: Vec<LogSizes>,
    /// What its files take on disk, without the room that killed writers had reserved.
    pub(crate) disk_bytes: u64,
}

impl LogFolder {
    /// The logs in a folder, or the folder itself.
    pub(crate) fn find(folder: &Path) -> Vec<LogFolder> {
        here_or_below(folder, LogFolder::at)
    }

    /// The log in a folder: each of its writers has an index.
    pub(crate) fn at(path: &Path) -> Option<LogFolder> {
        let entries = std::fs::read_dir(path).ok()?.flatten().map(|entry| entry.path());
        let indexes: Vec<PathBuf> = entries.filter(|path| is_index(path)).collect();
        (!indexes.is_empty()).then(|| LogFolder {
            path: path.to_path_buf(),
            partitions: indexes.iter().find_map(|index| partitions(index)),
            writers: indexes.len() as u64,
            running: indexes.iter().filter(|index| is_locked(index) == Some(true)).count() as u64,
        })
    }

    /// Opens the log. What killed writers left is put in order then, as by all who open it.
    pub(crate) fn open(&self, arena: &Arena, memory: u64) -> Result<OpenLog> {
        let Some(partitions) = self.partitions else {
            let message = format!("no index of the append log says how many partitions it has [{}]", self.path.display());
            return Err(Failure::new(Exit::No, message).hint("their headers are damaged; open the log from the program that made it"));
        };
        // It takes its share for threads and for reading ahead.
        let options = LogOptions::new().arena(arena.clone()).memory((memory / 2).max(ByteLog::LEAST_MEMORY)).threads(1);
        let log = ByteLog::open_with(&self.path, partitions, options)?;
        Ok(OpenLog { sizes: log.all_sizes(), log, disk_bytes: sizes(&self.path).1 })
    }

    /// A line of text.
    pub(crate) fn line(&self, open: &OpenLog, output: &Output) -> String {
        let (name, total) = (output.style(Style::Bold, self.path.display()), open.total());
        let (raw, disk) = (bytes(total.bytes), bytes(open.disk_bytes));
        let ratio = ratio_text(total.bytes, open.disk_bytes);
        format!("{name}  append log of {}, {}, {raw} in {disk} ({ratio})", open.partitions(), plural(total.records, "record"))
    }

    /// All fields.
    pub(crate) fn json(&self, open: &OpenLog) -> Value {
        let total = open.total();
        json!({
            "kind": "log", "path": self.path, "partitions": open.sizes.len(), "partitions_used": open.used().count(), "records": total.records,
            "bytes": total.bytes, "disk_bytes": open.disk_bytes, "ratio": ratio(total.bytes, open.disk_bytes).map(rounded), "writers": self.writers,
            "writers_running": self.running,
        })
    }
}

impl OpenLog {
    /// What is in all partitions.
    pub(crate) fn total(&self) -> LogSizes {
        let sum = |field: fn(&LogSizes) -> u64| self.sizes.iter().map(field).sum();
        LogSizes { records: sum(|sizes| sizes.records), bytes: sum(|sizes| sizes.bytes) }
    }

    /// The partitions that hold anything.
    pub(crate) fn used(&self) -> impl Iterator<Item = (u32, LogSizes)> + '_ {
        (0..).zip(self.sizes.iter().copied()).filter(|(_, sizes)| sizes.records > 0)
    }

    /// How many partitions there are, in words.
    pub(crate) fn partitions(&self) -> String {
        let used = crate::units::count(self.used().count() as u64);
        format!("{} ({used} used)", plural(self.sizes.len() as u64, "partition"))
    }
}

/// 16 hexadecimal digits, and the ending of an index.
fn is_index(path: &Path) -> bool {
    let stem = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".index"));
    stem.is_some_and(|stem| stem.len() == 16 && stem.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
}

/// The partitions that the header of an index tells of.
fn partitions(index: &Path) -> Option<u32> {
    use std::io::Read;
    let mut header = [0; HEADER];
    std::fs::File::open(index).ok()?.read_exact(&mut header).ok()?;
    let (content, sum) = header.split_last_chunk::<8>()?;
    let sound = content.starts_with(MAGIC) && checksum(content) == u64::from_le_bytes(*sum);
    let number = content.get(12..16)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))?;
    (sound && number > 0).then_some(number)
}
