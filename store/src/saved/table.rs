//! Stand-in for the tables until they are merged.
use crate::manifest::{Decode, Encode};
use crate::segment::{FrameInfo, FrameKind, Place, Segments};
use crate::{Bytes, Chunk, Error, ErrorKind, Result};
use std::collections::BTreeMap;

#[derive(Debug)]
pub(crate) struct Table { map: BTreeMap<Vec<u8>, Option<Place>>, segments: Vec<u64> }

impl Table {
    pub(crate) fn open(segments: &Segments, place: Place) -> Result<Table> {
        let Chunk::Bytes(Bytes(bytes)) = segments.read(place)? else { return Err(Error::new(ErrorKind::Corrupt, "no table")) };
        let mut from = Decode(&bytes);
        let mut map = BTreeMap::new();
        let mut all = std::collections::BTreeSet::new();
        while !from.0.is_empty() {
            let len = from.u32()? as usize;
            let key = from.bytes(len)?.to_vec();
            let place = Place { segment: from.u64()?, offset: from.u64()?, len: from.u64()? };
            if place.len > 0 { all.insert(place.segment); }
            map.insert(key, (place.len > 0).then_some(place));
        }
        Ok(Table { map, segments: all.into_iter().collect() })
    }
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Option<Place>>> { Ok(self.map.get(key).copied()) }
    pub(crate) fn segments(&self) -> &[u64] { &self.segments }
    pub(crate) fn iter(&self) -> impl Iterator<Item = Result<(Vec<u8>, Option<Place>)>> + '_ { self.map.iter().map(|(k, p)| Ok((k.clone(), *p))) }
}

#[derive(Debug)]
pub(crate) struct TableBuilder { segments: Segments, out: Vec<u8> }
impl TableBuilder {
    pub(crate) fn new(segments: &Segments) -> Result<Self> { Ok(TableBuilder { segments: segments.clone(), out: vec![] }) }
    pub(crate) fn put(&mut self, key: &[u8], place: Place) -> Result<()> {
        self.out.put_u32(key.len() as u32);
        self.out.extend_from_slice(key);
        for n in [place.segment, place.offset, place.len] { self.out.put_u64(n); }
        Ok(())
    }
    pub(crate) fn remove(&mut self, key: &[u8]) -> Result<()> { self.put(key, Place { segment: 0, offset: 0, len: 0 }) }
    pub(crate) fn write(self, dataset: u64) -> Result<Place> {
        let mut buffer = self.segments.arena().alloc(self.out.len())?;
        buffer.copy_from_slice(&self.out);
        self.segments.append(FrameInfo { kind: FrameKind::Table, dataset, key: &[] }, &Chunk::Bytes(Bytes(buffer.freeze())), dataset)
    }
}

pub(crate) fn merge_tables(segments: &Segments, tables: &[&Table], dataset: u64, last: bool, map: &mut dyn FnMut(Place) -> Result<Place>) -> Result<Place> {
    let mut all = BTreeMap::new();
    for table in tables { all.extend(table.map.clone()); }
    let mut builder = TableBuilder::new(segments)?;
    for (key, place) in all {
        match place { Some(place) => builder.put(&key, map(place)?)?, None if last => {}, None => builder.remove(&key)? }
    }
    builder.write(dataset)
}
