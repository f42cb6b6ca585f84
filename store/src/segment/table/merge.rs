//! Making one table of several.

use super::super::place::Place;
use super::super::segments::Segments;
use super::cursor::TableIter;
use super::lookup::Table;
use super::write::{Item, write_table};
use crate::Result;

/// Appends one table that says what `tables`, from the oldest to the newest, say together. Where these are all tables of a dataset,
/// `forget` leaves removed keys out. In memory are a few buffers, whatever the size of the tables.
///
/// # Errors
/// Those of reading the tables and of appending.
pub(crate) fn merge_tables(segments: &Segments, dataset: u64, tables: &[&Table], forget: bool) -> Result<Place> {
    write_table(segments, dataset, || Merged::new(segments, tables, forget))
}

/// As [`merge_tables`], with frames that have moved: `moved` gives the place of the copy, or the place itself.
///
/// # Errors
/// As for [`merge_tables`].
pub(crate) fn merge_mapped(
    segments: &Segments,
    dataset: u64,
    tables: &[&Table],
    forget: bool,
    moved: &dyn Fn(Place) -> Place,
) -> Result<Place> {
    write_table(segments, dataset, || {
        let merged = Merged::new(segments, tables, forget)?;
        Ok(merged.map(|item| item.map(|item| Item { place: item.place.map(moved), ..item })))
    })
}

/// The keys that stand in `tables`, from the oldest to the newest, and are not removed, with their places; in the order of (hash, key).
///
/// # Errors
/// Those of reading the tables; out of memory where there is no room for buffers.
pub(crate) fn each_merged(segments: &Segments, tables: &[&Table], mut visit: impl FnMut(&[u8], Place) -> Result<()>) -> Result<()> {
    for item in Merged::new(segments, tables, true)? {
        let item = item?;
        if let Some(place) = item.place {
            visit(&item.key, place)?;
        }
    }
    Ok(())
}

/// The keys of several tables in order, each once.
struct Merged<'a> {
    /// What comes next of each table, the newest last.
    heads: Vec<(TableIter<'a>, Option<Item>)>,
    forget: bool,
}

impl<'a> Merged<'a> {
    fn new(segments: &Segments, tables: &[&'a Table], forget: bool) -> Result<Self> {
        let head = |table: &&'a Table| {
            let mut iter = table.iter(segments)?;
            let first = iter.item().transpose()?;
            Ok((iter, first))
        };
        Ok(Merged { heads: tables.iter().map(head).collect::<Result<_>>()?, forget })
    }

    /// The next key, as the newest table that has it says.
    fn step(&mut self) -> Result<Option<Item>> {
        let order = |item: &Item| (item.hash, item.key.clone());
        let Some(least) =
            self.heads.iter().filter_map(|(_, item)| item.as_ref()).min_by(|a, b| (a.hash, &a.key).cmp(&(b.hash, &b.key))).map(order)
        else {
            return Ok(None);
        };
        let mut newest = None;
        for (iter, head) in &mut self.heads {
            if head.as_ref().is_some_and(|item| (item.hash, &item.key) == (least.0, &least.1)) {
                newest = std::mem::replace(head, iter.item().transpose()?);
            }
        }
        Ok(newest)
    }
}

impl Iterator for Merged<'_> {
    type Item = Result<Item>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.step().transpose()? {
                Ok(item) if self.forget && item.place.is_none() => {}
                other => return Some(other),
            }
        }
    }
}
