//! Datasets by name and by number, as of one commit.
//!
//! ```text
//!   "n" + name              the dataset's number, u64
//!   "d" + number, u64 big-endian   XXH3-64 of the rest, u64 | the entry as in the manifest
//!   "!"                     store id, sequence, pairs of the two kinds above, sum of their checksums, XXH3-64 of these: u64 each
//! ```
//! A step from one commit to the next is one batch, so "!" tells of which commit the index is and whether all of it is there.

use super::memory::MemoryTree;
use super::on_disk::DiskTree;
use super::tree::{Batch, Tree};
use crate::codec::{Encode, Fields};
use crate::manifest::{Changes, Entry};
use crate::{Error, ErrorKind, Ledger, Result, checksum};
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::path::Path;

const HEAD: &[u8] = b"!";
/// How many names are looked at together.
const PAGE: usize = 256;

/// What the index is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Head {
    store_id: u64,
    sequence: u64,
    pairs: u64,
    sum: u64,
}

/// Datasets by name and by number. All calls see the state after a whole commit.
#[derive(Debug)]
pub(crate) struct Index {
    held: RwLock<Held>,
}

#[derive(Debug)]
struct Held {
    tree: Box<dyn Tree>,
    head: Head,
}

fn name_key(name: &str) -> Vec<u8> {
    [b"n", name.as_bytes()].concat()
}

fn id_key(id: u64) -> Vec<u8> {
    [b"d".as_slice(), &id.to_be_bytes()].concat()
}

fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("the catalogue is damaged: {what}"))
}

/// What a pair adds to the sum of all.
fn weight(key: &[u8], value: &[u8]) -> u64 {
    checksum(key).rotate_left(17) ^ checksum(value)
}

impl Head {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(40);
        for number in [self.store_id, self.sequence, self.pairs, self.sum] {
            out.put_u64(number);
        }
        out.put_u64(checksum(&out));
        out
    }

    fn decode(bytes: &[u8]) -> Option<Head> {
        let mut from = Fields(bytes);
        let mut next = || from.u64().ok();
        let head = Head { store_id: next()?, sequence: next()?, pairs: next()?, sum: next()? };
        (head.encode() == bytes).then_some(head)
    }
}

impl Index {
    /// An empty index in memory.
    ///
    /// # Errors
    /// None that can be met.
    pub(crate) fn in_memory(ledger: &Ledger, store_id: u64) -> Result<Self> {
        let head = Head { store_id, ..Head::default() };
        Ok(Index { held: RwLock::new(Held { tree: Box::new(MemoryTree::new(ledger)?), head }) })
    }

    /// The index in `folder`, with what it holds if that is whole and of this store, and empty otherwise.
    ///
    /// # Errors
    /// Any error means that there can be none on disk.
    pub(crate) fn on_disk(folder: &Path, ledger: &Ledger, store_id: u64) -> Result<Self> {
        let tree: Box<dyn Tree> = Box::new(DiskTree::open(folder, ledger)?);
        let head = match whole(&*tree, store_id)? {
            Some(head) => head,
            None => {
                tree.clear()?;
                Head { store_id, ..Head::default() }
            }
        };
        Ok(Index { held: RwLock::new(Held { tree, head }) })
    }

    /// Takes the place of what is there.
    pub(crate) fn replace(&self, other: Index) {
        *self.held.write() = other.held.into_inner();
    }

    /// The number of the commit that this is of; 0 for none.
    pub(crate) fn sequence(&self) -> u64 {
        self.held.read_recursive().head.sequence
    }

    /// Whether it is on disk.
    pub(crate) fn is_on_disk(&self) -> bool {
        self.held.read_recursive().tree.is_on_disk()
    }

    /// How many datasets there are.
    pub(crate) fn len(&self) -> u64 {
        self.held.read_recursive().head.pairs / 2
    }

    /// # Errors
    /// Those of the tree.
    pub(crate) fn clear(&self) -> Result<()> {
        let mut held = self.held.write();
        held.tree.clear()?;
        held.head = Head { store_id: held.head.store_id, ..Head::default() };
        Ok(())
    }

    /// The dataset of a name.
    ///
    /// # Errors
    /// Those of the tree; corrupt where it is damaged.
    pub(crate) fn by_name(&self, name: &str) -> Result<Option<Entry>> {
        let held = self.held.read_recursive();
        let Some(id) = held.tree.get(&name_key(name))? else { return Ok(None) };
        let id = Fields(&id).u64().map_err(|_| damaged("a number is cut"))?;
        let entry = held.entry(id)?.filter(|entry| entry.name == name).ok_or_else(|| damaged("a name leads nowhere"))?;
        Ok(Some(entry))
    }

    /// The dataset of a number.
    ///
    /// # Errors
    /// As for [`Index::by_name`].
    pub(crate) fn by_id(&self, id: u64) -> Result<Option<Entry>> {
        self.held.read_recursive().entry(id)
    }

    /// The names that begin with `prefix`, in order.
    ///
    /// # Errors
    /// As for [`Index::by_name`].
    pub(crate) fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let mut names = Vec::new();
        self.each_name(prefix, |_, name, _| {
            names.push(name.to_owned());
            Ok(())
        })?;
        Ok(names)
    }

    /// Gives the datasets whose names begin with `prefix` to `visit`, in order of name, all of one commit.
    ///
    /// # Errors
    /// As for [`Index::by_name`]; those of `visit`.
    pub(crate) fn each(&self, prefix: &str, mut visit: impl FnMut(Entry) -> Result<()>) -> Result<()> {
        self.each_name(prefix, |held, name, id| {
            let entry = held.entry(id)?.filter(|entry| entry.name == name);
            visit(entry.ok_or_else(|| damaged("a name leads nowhere"))?)
        })
    }

    fn each_name(&self, prefix: &str, mut visit: impl FnMut(&Held, &str, u64) -> Result<()>) -> Result<()> {
        let held = self.held.read_recursive();
        let prefix = name_key(prefix);
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = held.tree.page(&prefix, after.as_deref(), PAGE)?;
            for (key, id) in &page {
                let name = key.get(1..).and_then(|name| std::str::from_utf8(name).ok()).ok_or_else(|| damaged("a name is no text"))?;
                visit(&held, name, Fields(id).u64().map_err(|_| damaged("a number is cut"))?)?;
            }
            match page.into_iter().nth(PAGE - 1) {
                Some((last, _)) => after = Some(last),
                None => return Ok(()),
            }
        }
    }

    /// Goes on to commit number `sequence`, which made `changes`, or a part of them.
    ///
    /// # Errors
    /// Those of the tree; nothing is changed then.
    pub(crate) fn apply(&self, sequence: u64, changes: &Changes) -> Result<()> {
        let mut held = self.held.write();
        let mut steps: BTreeMap<Vec<u8>, Option<Vec<u8>>> = BTreeMap::new();
        for name in &changes.removed {
            let key = name_key(name);
            if let Some(id) = held.tree.get(&key)? {
                steps.insert(id_key(Fields(&id).u64().map_err(|_| damaged("a number is cut"))?), None);
                steps.insert(key, None);
            }
        }
        for entry in &changes.puts {
            let key = name_key(&entry.name);
            if let Some(old) = held.tree.get(&key)? {
                let old = Fields(&old).u64().map_err(|_| damaged("a number is cut"))?;
                steps.entry(id_key(old)).or_insert(None);
            }
            steps.insert(key, Some(entry.id.to_le_bytes().to_vec()));
            let mut bytes = vec![0; 8];
            entry.encode(&mut bytes);
            let sum = checksum(bytes.get(8..).unwrap_or_default());
            bytes.splice(..8, sum.to_le_bytes());
            steps.insert(id_key(entry.id), Some(bytes));
        }
        let mut head = Head { sequence, ..held.head };
        for (key, value) in &steps {
            if let Some(old) = held.tree.get(key)? {
                head.pairs -= 1;
                head.sum = head.sum.wrapping_sub(weight(key, &old));
            }
            if let Some(value) = value {
                head.pairs += 1;
                head.sum = head.sum.wrapping_add(weight(key, value));
            }
        }
        let mut batch = Batch { steps: steps.into_iter().collect() };
        batch.steps.push((HEAD.to_vec(), Some(head.encode())));
        held.tree.apply(batch)?;
        held.head = head;
        Ok(())
    }
}

impl Held {
    fn entry(&self, id: u64) -> Result<Option<Entry>> {
        let Some(bytes) = self.tree.get(&id_key(id))? else { return Ok(None) };
        let mut from = Fields(&bytes);
        let sum = from.u64()?;
        if sum != checksum(from.0) {
            return Err(damaged("an entry is not what was written"));
        }
        Entry::decode(&mut from).map(Some)
    }
}

/// The head of a tree, if the tree is whole and of this store.
fn whole(tree: &dyn Tree, store_id: u64) -> Result<Option<Head>> {
    let head = tree.get(HEAD)?.and_then(|bytes| Head::decode(&bytes));
    let Some(head) = head.filter(|head| head.store_id == store_id) else { return Ok(None) };
    let (mut pairs, mut sum) = (0, 0u64);
    for prefix in [b"n", b"d"] {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = tree.page(prefix, after.as_deref(), PAGE)?;
            for (key, value) in &page {
                pairs += 1;
                sum = sum.wrapping_add(weight(key, value));
            }
            match page.into_iter().nth(PAGE - 1) {
                Some((last, _)) => after = Some(last),
                None => break,
            }
        }
    }
    Ok((pairs == head.pairs && sum == head.sum).then_some(head))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;

    fn entry(name: &str, id: u64) -> Entry {
        let text = |text: &str| text.to_owned();
        Entry {
            name: text(name),
            id,
            kind: text("value"),
            meta: text("{}"),
            attributes: text("{}"),
            tables: vec![],
            chunks: 1,
            bytes: 2,
            stored: 3,
            created: 4,
        }
    }

    fn put(names: &[(&str, u64)]) -> Changes {
        Changes { puts: names.iter().map(|(name, id)| entry(name, *id)).collect(), ..Changes::default() }
    }

    fn remove(names: &[&str]) -> Changes {
        Changes { removed: names.iter().map(|name| name.to_string()).collect(), ..Changes::default() }
    }

    fn content(index: &Index) -> Vec<(String, u64)> {
        let mut all = Vec::new();
        index
            .each("", |entry| {
                all.push((entry.name, entry.id));
                Ok(())
            })
            .unwrap();
        all
    }

    #[test]
    fn both_trees_answer_alike() {
        let folder = crate::testing::folder();
        let ledger = Ledger::new(64 << 20);
        let indices = [Index::in_memory(&ledger, 5).unwrap(), Index::on_disk(&folder.path().join("catalogue"), &ledger, 5).unwrap()];
        for index in indices {
            let many: Vec<(String, u64)> = (0..600).map(|i| (format!("many/{i:03}"), 1000 + i)).collect();
            let many: Vec<(&str, u64)> = many.iter().map(|(name, id)| (name.as_str(), *id)).collect();
            index.apply(1, &put(&many)).unwrap();
            index.apply(2, &put(&[("b", 1), ("a/b", 2)])).unwrap();
            assert_eq!((index.names("many").unwrap().len(), index.len(), index.sequence()), (600, 602, 2));
            index.apply(3, &Changes { removed: many.iter().map(|(name, _)| name.to_string()).collect(), ..Changes::default() }).unwrap();
            assert_eq!(content(&index), [("a/b".into(), 2), ("b".into(), 1)]);
            index.apply(4, &put(&[("b", 7)])).unwrap();
            assert_eq!((index.by_id(1).unwrap(), index.by_name("b").unwrap()), (None, Some(entry("b", 7))));
            index.apply(5, &Changes { puts: vec![entry("c", 7)], ..remove(&["b"]) }).unwrap();
            assert_eq!(content(&index), [("a/b".into(), 2), ("c".into(), 7)]);
            assert_eq!((index.by_id(7).unwrap().unwrap().name, index.by_name("b").unwrap()), ("c".into(), None));
        }
        assert!(ledger.used() == 0 && ledger.peak() > 0);
    }

    #[test]
    fn a_closed_catalogue_is_opened_and_any_other_is_made_anew() {
        let folder = crate::testing::folder();
        let path = folder.path().join("catalogue");
        let ledger = Ledger::new(64 << 20);
        let open = |store_id| Index::on_disk(&path, &ledger, store_id).unwrap();
        let filled = || {
            let index = open(5);
            index.clear().unwrap();
            index.apply(8, &put(&[("b", 1), ("a", 2)])).unwrap();
        };
        filled();
        let state = |store_id| {
            let index = open(store_id);
            (content(&index).len(), index.sequence())
        };
        assert_eq!(state(5), (2, 8));
        assert_eq!(state(5), (2, 8), "again");
        assert_eq!(state(6), (0, 0), "of another store");
        filled();
        fs::remove_file(path.join("closed")).unwrap();
        assert_eq!(open(5).sequence(), 0, "not closed");
        filled();
        fs::remove_dir_all(&path).unwrap();
        assert_eq!(open(5).sequence(), 0, "deleted");
        filled();
        let db = path.join("db");
        let mut bytes = fs::read(&db).unwrap();
        for at in (0..bytes.len()).step_by(1013) {
            bytes[at] ^= 0x55;
        }
        fs::write(&db, bytes).unwrap();
        assert_eq!(open(5).sequence(), 0, "corrupted");
    }

    #[test]
    fn a_lock_on_it_is_an_error() {
        let folder = crate::testing::folder();
        let path = folder.path().join("catalogue");
        let ledger = Ledger::new(64 << 20);
        drop(Index::on_disk(&path, &ledger, 5).unwrap());
        let db = fs::File::open(path.join("db")).unwrap();
        rustix::fs::flock(&db, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
        let opened = Index::on_disk(&path, &ledger, 5);
        assert!(opened.is_err(), "{opened:?}");
        assert_eq!(ledger.used(), 0);
    }

    #[test]
    fn memory_is_counted() {
        let ledger = Ledger::new(200 << 10);
        let index = Index::in_memory(&ledger, 5).unwrap();
        let many: Vec<(String, u64)> = (0..2000).map(|i| (format!("many/{i:03}"), i)).collect();
        let changes = Changes { puts: many.iter().map(|(name, id)| entry(name, *id)).collect(), ..Changes::default() };
        assert_eq!(index.apply(1, &changes).unwrap_err().kind(), ErrorKind::OutOfMemory);
        assert_eq!((content(&index).len(), ledger.used()), (0, 0));
        index.apply(1, &put(&[("b", 1)])).unwrap();
        assert_eq!(ledger.used(), 64 << 10);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_head_tells_whether_all_is_there(steps in prop::collection::vec((0u8..6, any::<bool>(), 0u64..9), 1..40)) {
            let ledger = Ledger::new(64 << 20);
            let index = Index::in_memory(&ledger, 5).unwrap();
            let mut model = BTreeMap::new();
            for (i, (name, add, salt)) in steps.into_iter().enumerate() {
                let (name, id) = (format!("d{name}"), 100 * i as u64 + salt);
                match add {
                    true => {
                        index.apply(i as u64, &put(&[(&name, id)])).unwrap();
                        model.insert(name, id);
                    }
                    false => {
                        index.apply(i as u64, &remove(&[&name])).unwrap();
                        model.remove(&name);
                    }
                }
                prop_assert_eq!(content(&index), model.clone().into_iter().collect::<Vec<_>>());
                let held = index.held.read();
                prop_assert_eq!(whole(&*held.tree, 5).unwrap(), Some(held.head));
            }
        }
    }
}
