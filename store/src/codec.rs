//! STAND-IN, to be replaced by the codec of branch store-buffer.
#![allow(missing_docs)]
use crate::{Error, ErrorKind, Result};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    Raw = 0,
    Zstd = 1,
    ShuffleZstd = 2,
}

pub fn checksum(bytes: &[u8]) -> u64 {
    twox_hash::XxHash3_64::oneshot(bytes)
}

pub fn probe(_bytes: &[u8], _item_size: usize, _disk: f64) -> Encoding {
    Encoding::Raw
}

pub struct Codec {
    scratch: Vec<u8>,
    enc: zstd::bulk::Compressor<'static>,
    dec: zstd::bulk::Decompressor<'static>,
}

impl std::fmt::Debug for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Codec")
    }
}

#[allow(clippy::unwrap_used, clippy::new_without_default)]
impl Codec {
    pub const WORKING_BYTES: usize = 2 << 20;
    pub fn new() -> Self {
        Codec { scratch: vec![0; 1 << 20], enc: zstd::bulk::Compressor::new(1).unwrap(), dec: zstd::bulk::Decompressor::new().unwrap() }
    }
    pub fn encode(&mut self, encoding: Encoding, item: usize, bytes: &[u8], out: &mut [u8]) -> Result<Option<usize>> {
        let src = match encoding {
            Encoding::Raw => return Ok(None),
            Encoding::Zstd => bytes,
            Encoding::ShuffleZstd => {
                let n = bytes.len() / item;
                for (i, b) in bytes[..n * item].chunks(item).enumerate() {
                    for (j, b) in b.iter().enumerate() {
                        self.scratch[j * n + i] = *b;
                    }
                }
                self.scratch[n * item..bytes.len()].copy_from_slice(&bytes[n * item..]);
                &self.scratch[..bytes.len()]
            }
        };
        Ok(self.enc.compress_to_buffer(src, out).ok())
    }
    pub fn decode(&mut self, encoding: Encoding, item: usize, bytes: &[u8], out: &mut [u8]) -> Result<()> {
        let bad = |_| Error::new(ErrorKind::Corrupt, "zstd");
        match encoding {
            Encoding::ShuffleZstd => {
                let len = self.dec.decompress_to_buffer(bytes, &mut self.scratch[..out.len()]).map_err(bad)?;
                let n = len / item;
                for (i, b) in out[..n * item].chunks_mut(item).enumerate() {
                    for (j, b) in b.iter_mut().enumerate() {
                        *b = self.scratch[j * n + i];
                    }
                }
                out[n * item..].copy_from_slice(&self.scratch[n * item..len]);
            }
            _ => {
                self.dec.decompress_to_buffer(bytes, out).map_err(bad)?;
            }
        }
        Ok(())
    }
}
