//! A picture of where each chunk was over time: in memory, on disk, or dead.

use super::history::{History, TaskHistory};
use super::svg::{Anchor, Svg};

/// The picture's columns of time, and the most rows: where there are more chunks, neighbours share a row.
const COLUMNS: usize = 900;
const ROWS: usize = 500;

/// Where the rows begin.
const LEFT: f64 = 215.0;
const TOP: f64 = 150.0;
const CURVE: f64 = 100.0;

const MEMORY: [u32; 3] = [38, 110, 180];
const BOTH: [u32; 3] = [120, 80, 160];
const DISK: [u32; 3] = [222, 165, 80];

impl History {
    /// A picture of the residency of all chunks over time, as SVG: a row for each chunk in the order in which they were planned (or for several
    /// neighbours, where there are many), blue while it is in memory, violet while it is also on disk, orange while it is on disk only, and
    /// nothing before it is made and after it has died. Above it is the sum of what is in memory, with the bound.
    ///
    /// ```
    /// use chunkstore::{Engine, array::Array};
    /// let engine = Engine::builder().memory("256MiB").build()?;
    /// let recording = engine.record();
    /// engine.compute(&Array::<f64>::ones([1000], 100).sqrt().sum(..).item_collection())?;
    /// let svg = recording.history().timeline();
    /// assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    pub fn timeline(&self) -> String {
        let mut chunks: Vec<&TaskHistory> = self.tasks().filter(|task| task.bytes > 0 && !task.moments.is_empty()).collect();
        chunks.sort_by_key(|task| (task.moments.first().map_or(0, |first| first.at_ns), task.place));
        let each = chunks.len().div_ceil(ROWS).max(1);
        let rows = chunks.len().div_ceil(each);
        let height = (600.0 / rows.max(1) as f64).clamp(1.5, 14.0);
        let bottom = TOP + rows as f64 * height;
        let mut svg = Svg::new(LEFT + COLUMNS as f64 + 45.0, bottom + 40.0);
        self.axis(&mut svg, TOP, bottom);
        self.held_curve(&mut svg);
        let end = self.ended_ns.max(1) as f64;
        for (row, together) in chunks.chunks(each).enumerate() {
            let y = TOP + row as f64 * height;
            // For each column, how much of the row's bytes is in memory, there and on disk, on disk only.
            let mut cells = vec![[0.0f64; 3]; COLUMNS];
            let bytes: f64 = together.iter().map(|task| task.bytes as f64).sum();
            for task in together {
                for stay in task.stays(self.ended_ns) {
                    let state = match (stay.in_memory, stay.on_disk) {
                        (true, false) => 0,
                        (true, true) => 1,
                        _ => 2,
                    };
                    let (from, to) = (stay.ns.0 as f64 / end * COLUMNS as f64, stay.ns.1 as f64 / end * COLUMNS as f64);
                    for (column, cell) in cells.iter_mut().enumerate().take(to.ceil() as usize).skip(from as usize) {
                        let covered = to.min(column as f64 + 1.0) - from.max(column as f64);
                        cell[state] += covered.max(0.0) * task.bytes as f64 / bytes;
                    }
                }
            }
            let colours: Vec<Option<String>> = cells.iter().map(shade).collect();
            let mut at = 0;
            for run in colours.chunk_by(|a, b| a == b) {
                if let Some(Some(colour)) = run.first() {
                    let x = LEFT + at as f64;
                    svg.rect((x, y), (run.len() as f64, height), colour, "");
                }
                at += run.len();
            }
            if height >= 10.0 || row % (14.0 / height).ceil() as usize == 0 {
                let name = together.first().map(|task| self.name(task)).unwrap_or_default();
                let short: String = name.chars().take(28).collect();
                svg.text((LEFT - 6.0, y + height.max(10.0) - 2.0), Anchor::End, &short);
            }
        }
        for (i, (colour, what)) in [(MEMORY, "in memory"), (BOTH, "in memory and on disk"), (DISK, "on disk")].iter().enumerate() {
            let x = LEFT + i as f64 * 170.0;
            svg.rect((x, 6.0), (12.0, 12.0), &rgb(*colour, 1.0), "");
            svg.text((x + 18.0, 16.0), Anchor::Start, what);
        }
        svg.finish()
    }

    /// The seconds below a picture.
    pub(super) fn axis(&self, svg: &mut Svg, top: f64, bottom: f64) {
        for tick in 0..=6 {
            let x = LEFT + COLUMNS as f64 * f64::from(tick) / 6.0;
            svg.line(&[(x, top - CURVE - 10.0), (x, bottom)], "#ddd", false);
            let seconds = self.ended_ns as f64 / 1e9 * f64::from(tick) / 6.0;
            svg.text((x, bottom + 16.0), Anchor::Middle, &format!("{seconds:.3} s"));
        }
    }

    /// What is in memory over time, with the bound.
    pub(super) fn held_curve(&self, svg: &mut Svg) {
        let mut moments: Vec<(u64, u64)> =
            self.tasks().flat_map(|task| task.moments.iter().map(|moment| (moment.at_ns, moment.held))).collect();
        moments.sort_unstable();
        let most = moments.iter().map(|(_, held)| *held).max().unwrap_or(0).max(self.most_bound()).max(1) as f64;
        let (base, end) = (TOP - 10.0, self.ended_ns.max(1) as f64);
        let mut columns = vec![None::<u64>; COLUMNS + 1];
        for (at, held) in moments {
            if let Some(column) = columns.get_mut((at as f64 / end * COLUMNS as f64) as usize) {
                *column = Some(column.unwrap_or(0).max(held));
            }
        }
        let mut points = Vec::new();
        let mut last = 0;
        for (x, held) in columns.into_iter().enumerate() {
            last = held.unwrap_or(last);
            points.push((LEFT + x as f64, base - last as f64 / most * CURVE));
        }
        svg.line(&points, &rgb(MEMORY, 1.0), false);
        if let Some((_, first)) = self.bounds.first() {
            let y = |bound: u64| base - bound as f64 / most * CURVE;
            svg.line(&self.bound_line(y), "#c33", false);
            svg.text((LEFT - 6.0, y(*first) + 4.0), Anchor::End, &format!("bound {:.1} MiB", *first as f64 / f64::from(1 << 20)));
        }
        svg.text((LEFT - 6.0, base - CURVE / 2.0), Anchor::End, "in memory");
    }

    /// Where a moment stands in a picture.
    pub(super) fn x_of(&self, at_ns: u64) -> f64 {
        LEFT + at_ns as f64 / self.ended_ns.max(1) as f64 * COLUMNS as f64
    }
}

/// The measures that other pictures of time share.
pub(super) const FRAME: (f64, f64, f64) = (LEFT, TOP, COLUMNS as f64);

fn rgb(colour: [u32; 3], part: f64) -> String {
    let mix = colour.map(|c| (255.0 + (f64::from(c) - 255.0) * part).round().clamp(0.0, 255.0) as u32);
    format!("#{:02x}{:02x}{:02x}", mix[0], mix[1], mix[2])
}

/// The colour of a cell, in eight shades.
fn shade(cell: &[f64; 3]) -> Option<String> {
    let sum: f64 = cell.iter().sum();
    let level = (sum.min(1.0) * 8.0).ceil() / 8.0;
    if level <= 0.0 {
        return None;
    }
    let most = [MEMORY, BOTH, DISK].into_iter().zip(cell).max_by(|a, b| a.1.total_cmp(b.1))?;
    Some(rgb(most.0, level))
}
