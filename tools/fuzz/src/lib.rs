//! Disks for the fuzz targets: what a program wrote to one in memory, and copies of it that are changed as the input says.

use chunkstore_store::io::{Backend, MemoryBackend, Open};
use chunkstore_store::{Arena, Bytes, Chunk, DatasetKind, Encoding, Ledger, Store, StoreOptions};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

/// The memory that reading damaged files may take.
const MEMORY: u64 = 64 << 20;

/// One arena for all, which keeps its memory for the next input.
static ARENA: LazyLock<Arena> = LazyLock::new(|| Arena::with_pool(Ledger::new(MEMORY), 32 << 20));

/// The arena of everything that is opened.
pub fn arena() -> Arena {
    ARENA.clone()
}

/// Files as they were written.
pub struct Disk {
    folders: Vec<PathBuf>,
    files: Vec<File>,
}

struct File {
    path: PathBuf,
    bytes: Vec<u8>,
    /// The places of words that are not zero: most of the rest is padding.
    words: Vec<usize>,
}

impl Disk {
    /// All that is in `folder`.
    pub fn of(backend: &MemoryBackend, folder: &str) -> Disk {
        let mut disk = Disk { folders: vec![folder.into()], files: Vec::new() };
        let mut next = 0;
        while let Some(folder) = disk.folders.get(next).cloned() {
            next += 1;
            for path in backend.list(&folder).unwrap_or_default() {
                match backend.open(&path, Open::Read) {
                    Ok(file) => {
                        let mut bytes = vec![0; file.len().unwrap() as usize];
                        file.read_at(0, &mut bytes).unwrap();
                        let words = (0..bytes.len()).step_by(8).filter(|at| bytes[*at..].iter().take(8).any(|byte| *byte != 0)).collect();
                        disk.files.push(File { path, bytes, words });
                    }
                    Err(_) => disk.folders.push(path),
                }
            }
        }
        disk
    }

    /// Only what is in these files can be changed, and there only what `part` keeps of the places.
    pub fn narrowed(mut self, change: impl Fn(&Path, &[u8], &mut Vec<usize>)) -> Disk {
        self.files.iter_mut().for_each(|file| change(&file.path, &file.bytes, &mut file.words));
        self
    }

    /// A copy, changed as `input` says.
    pub fn changed(&self, mut input: &[u8]) -> MemoryBackend {
        let backend = MemoryBackend::new(1 << 28);
        self.folders.iter().for_each(|folder| drop(backend.create_folder(folder).unwrap()));
        let mut files: Vec<Vec<u8>> = self.files.iter().map(|file| file.bytes.clone()).collect();
        let open: Vec<usize> = (0..files.len()).filter(|n| !self.files[*n].words.is_empty()).collect();
        while let Some((&[what, which, a, b, value], rest)) = input.split_first_chunk::<5>() {
            input = rest;
            if open.is_empty() {
                break;
            }
            let n = open[usize::from(which) % open.len()];
            let (words, bytes) = (&self.files[n].words, &mut files[n]);
            let word = words[usize::from(u16::from_le_bytes([a, b])) % words.len()];
            if word + 8 > bytes.len() {
                continue;
            }
            let at = word + usize::from(what >> 4 & 7);
            let field = bytes[word..word + 8].first_chunk_mut::<8>().expect("8 bytes");
            match what & 15 {
                0..=3 => bytes[at] = value,
                4 | 5 => bytes[at] ^= 1 << (value % 8),
                6 => *field = special(value).to_le_bytes(),
                7 => *field = u64::from_le_bytes(*field).wrapping_add_signed(i64::from(value as i8)).to_le_bytes(),
                8 => field[..4].copy_from_slice(&(special(value) as u32).to_le_bytes()),
                9 => field[4..].copy_from_slice(&(special(value) as u32).to_le_bytes()),
                10 => *field = u64::from_le_bytes(*field).wrapping_add_signed(i64::from(value as i8) * 4096).to_le_bytes(),
                11 => bytes.truncate(at),
                12 => {
                    let from = words[usize::from(value) * 7 % words.len()];
                    if let Some(other) = bytes.get(from..from + 8).map(<[u8]>::to_vec) {
                        bytes[word..word + 8].copy_from_slice(&other);
                    }
                }
                13 => {
                    let n = usize::from(value).min(input.len()).min(bytes.len() - word);
                    bytes[word..word + n].copy_from_slice(&input[..n]);
                    input = &input[n..];
                }
                14 => bytes.extend_from_slice(&vec![value; usize::from(a) * 8]),
                _ => {
                    let n = (usize::from(value) * 8).min(bytes.len() - word);
                    bytes[word..word + n].fill(0);
                }
            }
        }
        for (file, bytes) in self.files.iter().zip(files) {
            let place = backend.open(&file.path, Open::Create).unwrap();
            place.truncate(bytes.len() as u64).unwrap();
            place.write_at(0, &bytes).unwrap();
        }
        backend
    }
}

/// Numbers at which lengths and places go wrong.
fn special(value: u8) -> u64 {
    match value {
        0..64 => 1 << value,
        64..128 => u64::MAX >> (value - 64),
        128..192 => u64::from(value) - 128,
        192..224 => u64::MAX - (u64::from(value) - 192),
        _ => (u64::from(value) - 224) * 4096,
    }
}

/// A backend for [`StoreOptions`].
pub fn options(backend: &MemoryBackend) -> StoreOptions {
    Store::options().backend(Arc::new(backend.clone())).arena(arena()).segment_bytes(64 << 10).threads(1).catalogue(false)
}

/// The bytes of a chunk.
pub fn bytes_of(name: &str, n: u64) -> Vec<u8> {
    let len = [0, 3, 200, 3000, 70_000][(n as usize + name.len()) % 5];
    (0..len).map(|i| (i as u64 * (n + 1) / 7) as u8 ^ name.len() as u8).collect()
}

fn chunk(arena: &Arena, bytes: &[u8]) -> Chunk {
    let mut buffer = arena.alloc(bytes.len()).unwrap();
    buffer.copy_from_slice(bytes);
    Chunk::Bytes(Bytes(buffer.freeze()))
}

/// The datasets of [`store`] with their chunks.
pub const DATASETS: [(&str, u64); 3] = [("a", 6), ("b/cc", 9), ("bbb/copy", 9)];

/// A store in `/s` with a few datasets in several segments, one of them removed.
pub fn store() -> Disk {
    let backend = MemoryBackend::new(1 << 28);
    backend.create_folder(Path::new("/")).unwrap();
    let arena = arena();
    for (round, encoding) in [Encoding::Raw, Encoding::Zstd, Encoding::ShuffleZstd].into_iter().enumerate() {
        let store = options(&backend).encoding(Some(encoding)).open("/s").unwrap();
        let (name, chunks) = [("a", 6), ("b/cc", 9), ("gone", 2)][round];
        let writer = store.create(name, DatasetKind::new("test", serde_json::json!({ "x": [1] }))).unwrap();
        (0..chunks).for_each(|n| writer.put(n, &chunk(&arena, &bytes_of(if round == 1 { "cc" } else { name }, n))).unwrap());
        writer.attribute("unit", "m").unwrap();
        writer.commit().unwrap();
    }
    let store = options(&backend).open("/s").unwrap();
    let writer = store.update("a").unwrap();
    writer.put(1, &chunk(&arena, &bytes_of("a", 1))).unwrap();
    writer.commit().unwrap();
    store.copy("b/cc", "bbb/copy").unwrap();
    store.remove("gone").unwrap();
    drop(store);
    Disk::of(&backend, "/s")
}

/// Opens the store, reads all of it, verifies and repairs it; only errors may come of it.
pub fn use_store(backend: &MemoryBackend) {
    for writing in [false, true] {
        let opened = if writing { options(backend).open("/s") } else { options(backend).open_read_only("/s") };
        let Ok(store) = opened else { continue };
        for name in store.names().unwrap_or_default() {
            let Ok(dataset) = store.dataset(&name) else { continue };
            dataset.chunk_numbers().ok();
            for n in 0..10 {
                dataset.chunk(n).ok();
                dataset.header(n).ok();
            }
        }
        store.verify(|_, _| {}).ok();
        if writing {
            store.save_value("new", &1).ok();
            store.compact().ok();
            store.gc(false).ok();
        }
    }
    options(backend).repair("/s").ok();
    options(backend).open("/s").ok();
}
