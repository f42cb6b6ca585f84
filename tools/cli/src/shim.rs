#![allow(dead_code, unused, unreachable_pub)]
//! Stand-in for the store's API while it is being built.
use chunkstore_store::*;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
type R<T> = std::result::Result<T, Error>;
fn no<T>() -> R<T> {
    Err(Error::new(ErrorKind::Unsupported, "shim"))
}
#[derive(Clone, Debug)]
pub struct Store;
pub struct StoreOptions;
impl StoreOptions {
    pub fn arena(self, _: Arena) -> Self {
        self
    }
    pub fn threads(self, _: usize) -> Self {
        self
    }
    pub fn open(self, _: impl AsRef<Path>) -> R<Store> {
        no()
    }
    pub fn open_read_only(self, _: impl AsRef<Path>) -> R<Store> {
        no()
    }
}
#[derive(Clone, Debug, PartialEq)]
pub struct DatasetKind {
    kind: String,
    meta: Value,
}
impl DatasetKind {
    pub fn new(kind: impl Into<String>, meta: Value) -> Self {
        Self { kind: kind.into(), meta }
    }
}
#[derive(Clone, Debug, PartialEq)]
pub struct DatasetInfo {
    pub name: String,
    pub id: u64,
    pub kind: String,
    pub meta: Value,
    pub attributes: Map<String, Value>,
    pub chunks: u64,
    pub bytes: u64,
    pub stored_bytes: u64,
    pub created: u64,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub segment: u64,
    pub offset: u64,
    pub len: u64,
}
#[derive(Default, Clone, Copy)]
pub struct StoreStats {
    pub datasets: u64,
    pub sequence: u64,
    pub segments: u64,
    pub disk_bytes: u64,
}
pub struct StoredChunk {
    pub header: ChunkHeader,
    pub encoding: Encoding,
    pub stored_bytes: u64,
    pub place: Place,
}
pub struct Dataset;
impl Dataset {
    pub fn info(&self) -> &DatasetInfo {
        unimplemented()
    }
    pub fn chunk(&self, _: u64) -> R<Option<Chunk>> {
        no()
    }
    pub fn get(&self, _: &[u8]) -> R<Option<Chunk>> {
        no()
    }
    pub fn keys(&self) -> R<Vec<Vec<u8>>> {
        no()
    }
    pub fn place(&self, _: &[u8]) -> R<Option<Place>> {
        no()
    }
    pub fn each(&self, _: impl FnMut(&[u8], Place) -> R<()>) -> R<()> {
        no()
    }
    pub fn header(&self, _: u64) -> R<Option<StoredChunk>> {
        no()
    }
    pub fn header_of(&self, _: &[u8]) -> R<Option<StoredChunk>> {
        no()
    }
    pub fn chunk_numbers(&self) -> R<Vec<u64>> {
        no()
    }
}
fn unimplemented() -> &'static DatasetInfo {
    panic!()
}
pub struct DatasetWriter;
impl DatasetWriter {
    pub fn replace(self, _: bool) -> Self {
        self
    }
    pub fn put(&self, _: u64, _: &Chunk) -> R<()> {
        no()
    }
    pub fn put_key(&self, _: &[u8], _: &Chunk) -> R<()> {
        no()
    }
    pub fn attribute(&self, _: impl Into<String>, _: impl Into<Value>) -> R<()> {
        no()
    }
    pub fn commit(self) -> R<Dataset> {
        no()
    }
}
impl Store {
    pub fn options() -> StoreOptions {
        StoreOptions
    }
    pub fn folder(&self) -> &Path {
        Path::new("")
    }
    pub fn names(&self) -> R<Vec<String>> {
        no()
    }
    pub fn infos(&self, _: &str) -> R<Vec<DatasetInfo>> {
        no()
    }
    pub fn info(&self, _: &str) -> R<Option<DatasetInfo>> {
        no()
    }
    pub fn dataset(&self, _: &str) -> R<Dataset> {
        no()
    }
    pub fn create(&self, _: &str, _: DatasetKind) -> R<DatasetWriter> {
        no()
    }
    pub fn remove(&self, _: &str) -> R<bool> {
        no()
    }
    pub fn copy(&self, _: &str, _: &str) -> R<()> {
        no()
    }
    pub fn stats(&self) -> StoreStats {
        Default::default()
    }
}
