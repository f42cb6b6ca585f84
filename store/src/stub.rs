#![allow(missing_docs)]
use crate::*;
#[derive(Debug)]
pub struct Lease(Ledger);
impl Ledger {
    pub fn lease(m: u64) -> Result<Lease> {
        Ok(Lease(Ledger::new(m - (32 << 20))))
    }
}
impl Lease {
    pub fn ledger(&self) -> &Ledger {
        &self.0
    }
}
pub fn resident_bytes() -> u64 {
    30 << 20
}
impl Arena {
    pub fn trim(&self) {}
}
pub fn memory_limit_of_machine() -> u64 {
    8 << 30
}
pub struct Scratch(std::sync::Mutex<()>, std::path::PathBuf);
pub struct Slot(Chunk);
pub struct ScratchOptions;
pub struct Stats {
    pub written_bytes: u64,
}
impl ScratchOptions {
    pub fn new(_: std::path::PathBuf) -> Self {
        ScratchOptions
    }
    pub fn quota(self, _: Option<u64>) -> Self {
        self
    }
    pub fn threads(self, _: usize) -> Self {
        self
    }
}
impl Scratch {
    pub fn open(_: ScratchOptions, _: &Arena) -> Result<Scratch> {
        Ok(Scratch(Default::default(), Default::default()))
    }
    pub fn staging_bytes() -> u64 {
        0
    }
    pub fn stats(&self) -> Stats {
        Stats { written_bytes: 0 }
    }
    pub fn write(&self, c: &Chunk) -> Result<Slot> {
        match c {
            Chunk::Block(b) => {
                let v = std::sync::Arc::new(b.bytes().to_vec());
                let buf = Buffer::from_vec(v);
                Ok(Slot(Chunk::Block(Block::new(buf, 0, b.dtype(), b.shape().into())?)))
            }
            o => Ok(Slot(o.clone())),
        }
    }
    pub fn read(&self, s: &Slot) -> Result<Chunk> {
        Ok(s.0.clone())
    }
}
