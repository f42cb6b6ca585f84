//! `bag_groupby`: rows and sums by a key, of JSON lines.

use crate::numbers::crc32_of_lines;
use crate::run::{Context, Failure, Work};
use chunkstore::bag;
use serde::{Deserialize, Serialize};

/// A line.
#[derive(Serialize, Deserialize)]
struct Row {
    k: String,
    v: i64,
}

/// Makes the engine before the clock starts; finding the files counts.
pub(crate) fn prepare(context: &Context) -> Result<Work, Failure> {
    let engine = context.engine()?;
    Ok(Box::new(move |context| {
        let paths = context.cold_all("bag_groupby", "ndjson")?;
        let (groups, _) = context.timed(|| {
            let rows = bag::read_json_lines::<Row>(&paths)?;
            let sums = rows.foldby_ref(|row| &row.k, (0u64, 0i64), |(n, sum), row| (n + 1, sum + row.v), |a, b| (a.0 + b.0, a.1 + b.1));
            engine.compute(sums)
        });
        let mut groups = groups?;
        context.note_run(&engine);
        groups.sort();
        let crc = crc32_of_lines(groups.iter().map(|(k, (n, sum))| format!("{k},{n},{sum}")));
        Ok(format!("{} {crc:08x}", groups.len()).into())
    }))
}
