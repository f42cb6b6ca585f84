//! `wordcount`: the 20 most frequent words of text files.

use crate::numbers::crc32_of_lines;
use crate::run::{Context, Failure, Work};
use chunkstore::bag;

/// Makes the engine before the clock starts; finding the files counts.
pub(crate) fn prepare(context: &Context) -> Result<Work, Failure> {
    let engine = context.engine()?;
    Ok(Box::new(move |context| {
        let paths = context.cold_all("wordcount", "txt")?;
        let (top, _) = context.timed(|| {
            let words = bag::read_text(&paths)?.str().split_whitespace();
            engine.compute(words.frequencies().reduction(16, best, best))
        });
        let mut top = top?;
        context.note_run(&engine);
        top.sort_by(|(a, n), (b, m)| m.cmp(n).then_with(|| a.cmp(b)));
        let first = top.first().map(|(word, n)| format!(" {word} {n}")).unwrap_or_default();
        let crc = crc32_of_lines(top.iter().map(|(word, n)| format!("{word}\t{n}")));
        Ok(format!("{crc:08x}{first}").into())
    }))
}

fn best(rows: bag::Rows<impl IntoTop>) -> Vec<(String, u64)> {
    let mut top: Vec<(String, u64)> = Vec::new();
    for row in rows {
        for (w, n) in row.into_top() {
            if top.len() < 20 || top.last().is_some_and(|(_, m)| n > *m) {
                let at = top.partition_point(|(_, m)| *m >= n);
                top.insert(at, (w, n));
                top.truncate(20);
            }
        }
    }
    top
}
pub(crate) trait IntoTop: bag::Item {
    fn into_top(self) -> impl Iterator<Item = (String, u64)>;
}
impl IntoTop for (String, u64) {
    fn into_top(self) -> impl Iterator<Item = (String, u64)> { std::iter::once(self) }
}
impl IntoTop for Vec<(String, u64)> {
    fn into_top(self) -> impl Iterator<Item = (String, u64)> { self.into_iter() }
}
