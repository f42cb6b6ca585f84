//! Where the nodes of a drawing stand: in rows, inputs below their users, with few crossings.
//!
//! The method of Sugiyama, Tagawa and Toda (Methods for Visual Understanding of Hierarchical System Structures, 1981): rows by the longest path
//! from the inputs; edges over several rows get a point in each; rows are ordered by the mean place of neighbours, up and down in turn;
//! then nodes are drawn towards their neighbours as far as their row leaves room. The same graph always gives the same picture.

/// Sweeps over the rows that order nodes, and that move them.
const SWEEPS: usize = 12;

/// What is left free between two nodes of a row, and between rows.
const GAP: f64 = 12.0;
const ROW_GAP: f64 = 34.0;

/// A drawing's measures; y grows from the inputs upwards.
pub(super) struct Layout {
    pub(super) width: f64,
    pub(super) height: f64,
    /// The middle of each node.
    pub(super) nodes: Vec<(f64, f64)>,
    /// For each edge the points that it goes through.
    pub(super) edges: Vec<Vec<(f64, f64)>>,
}

/// Places nodes of the given widths and one height. Edges of a circle are drawn, but do not count.
pub(super) fn layout(widths: &[f64], edges: &[(u32, u32)], height: f64) -> Layout {
    let mut rows = Rows::new(widths, edges);
    rows.order();
    let x = rows.places();
    let y = |node: usize| height / 2.0 + rows.row[node] as f64 * (height + ROW_GAP);
    let at = |node: u32| (x[node as usize], y(node as usize));
    let ways = rows.ways.iter().map(|way| way.iter().map(|node| at(*node)).collect()).collect();
    let right = x.iter().zip(&rows.widths).map(|(x, width)| x + width / 2.0).fold(0.0, f64::max);
    let top = (0..rows.row.len()).map(y).fold(0.0, f64::max) + height / 2.0;
    Layout { width: right, height: top, nodes: (0..widths.len() as u32).map(at).collect(), edges: ways }
}

/// Nodes in rows; those after the given ones are points of long edges.
struct Rows {
    widths: Vec<f64>,
    row: Vec<usize>,
    rows: Vec<Vec<u32>>,
    below: Vec<Vec<u32>>,
    above: Vec<Vec<u32>>,
    ways: Vec<Vec<u32>>,
}

impl Rows {
    fn new(widths: &[f64], edges: &[(u32, u32)]) -> Self {
        let mut row = longest_paths(widths.len(), edges);
        let mut widths = widths.to_vec();
        let mut ways = Vec::with_capacity(edges.len());
        for (from, to) in edges.iter().copied() {
            let mut way = vec![from];
            for between in row[from as usize] + 1..row[to as usize] {
                way.push(row.len() as u32);
                row.push(between);
                widths.push(2.0);
            }
            way.push(to);
            ways.push(way);
        }
        let mut rows = vec![Vec::new(); row.iter().max().map_or(0, |most| most + 1)];
        row.iter().enumerate().for_each(|(node, row)| rows[*row].push(node as u32));
        let (mut below, mut above) = (vec![Vec::new(); row.len()], vec![Vec::new(); row.len()]);
        for pair in ways.iter().flat_map(|way| way.windows(2)) {
            if let [from, to] = *pair
                && row[from as usize] < row[to as usize]
            {
                above[from as usize].push(to);
                below[to as usize].push(from);
            }
        }
        Rows { widths, row, rows, below, above, ways }
    }

    /// Orders each row by the mean place of its neighbours in the row before it, upwards and downwards in turn.
    fn order(&mut self) {
        let mut place = vec![0.0f64; self.row.len()];
        let number = |row: &[u32], place: &mut [f64]| row.iter().enumerate().for_each(|(at, node)| place[*node as usize] = at as f64);
        self.rows.iter().for_each(|row| number(row, &mut place));
        for sweep in 0..SWEEPS {
            let upwards = sweep % 2 == 0;
            let neighbours = if upwards { &self.below } else { &self.above };
            let count = self.rows.len();
            for i in 0..count {
                let row = &mut self.rows[if upwards { i } else { count - 1 - i }];
                let mean = |node: u32| {
                    let around = &neighbours[node as usize];
                    match around.len() {
                        0 => place[node as usize],
                        len => around.iter().map(|other| place[*other as usize]).sum::<f64>() / len as f64,
                    }
                };
                let mut sorted: Vec<(f64, u32)> = row.iter().map(|node| (mean(*node), *node)).collect();
                sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
                *row = sorted.into_iter().map(|(_, node)| node).collect();
                number(row, &mut place);
            }
        }
    }

    /// The middle of each node from the left: close to its neighbours, as far as the order of its row and the widths allow.
    fn places(&self) -> Vec<f64> {
        let mut x = vec![0.0; self.row.len()];
        for row in &self.rows {
            let mut left = 0.0;
            for node in row {
                x[*node as usize] = left + self.widths[*node as usize] / 2.0;
                left += self.widths[*node as usize] + GAP;
            }
        }
        for sweep in 0..SWEEPS {
            for row in &self.rows {
                let wanted = |node: u32| {
                    let (below, above) = (&self.below[node as usize], &self.above[node as usize]);
                    let around = if sweep % 2 == 0 && !below.is_empty() || above.is_empty() { below } else { above };
                    match around.len() {
                        0 => x[node as usize],
                        len => around.iter().map(|other| x[*other as usize]).sum::<f64>() / len as f64,
                    }
                };
                let wishes: Vec<f64> = row.iter().map(|node| wanted(*node)).collect();
                let apart = |a: u32, b: u32| (self.widths[a as usize] + self.widths[b as usize]) / 2.0 + GAP;
                // As far left and as far right as the wishes push; the middle of the two keeps the distances.
                let mut from_left = wishes.clone();
                for i in 1..row.len() {
                    from_left[i] = from_left[i].max(from_left[i - 1] + apart(row[i - 1], row[i]));
                }
                let mut from_right = wishes;
                for i in (1..row.len()).rev() {
                    from_right[i - 1] = from_right[i - 1].min(from_right[i] - apart(row[i - 1], row[i]));
                }
                for (i, node) in row.iter().enumerate() {
                    x[*node as usize] = (from_left[i] + from_right[i]) / 2.0;
                }
            }
        }
        let left = x.iter().zip(&self.widths).map(|(x, width)| x - width / 2.0).fold(f64::MAX, f64::min);
        x.iter().map(|x| x - left).collect()
    }
}

/// For each node the number of edges on the longest way to it from a node without inputs. What a circle keeps waiting stands in row 0.
fn longest_paths(nodes: usize, edges: &[(u32, u32)]) -> Vec<usize> {
    let mut row = vec![0; nodes];
    let mut waiting = vec![0u32; nodes];
    let mut users = vec![Vec::new(); nodes];
    for (from, to) in edges {
        waiting[*to as usize] += 1;
        users[*from as usize].push(*to);
    }
    let mut ready: Vec<u32> = (0..nodes as u32).filter(|node| waiting[*node as usize] == 0).collect();
    while let Some(node) = ready.pop() {
        for user in std::mem::take(&mut users[node as usize]) {
            let user = user as usize;
            row[user] = row[user].max(row[node as usize] + 1);
            waiting[user] -= 1;
            if waiting[user] == 0 {
                ready.push(user as u32);
            }
        }
    }
    row.iter().zip(&waiting).map(|(row, waiting)| if *waiting == 0 { *row } else { 0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Inputs stand below their users, no two nodes of a row overlap, and everything is within the picture.
        #[test]
        fn nodes_have_room(nodes in 1usize..40, pairs in prop::collection::vec((0u32..40, 0u32..40), 0..80)) {
            let edges: Vec<(u32, u32)> =
                pairs.into_iter().map(|(a, b)| (a % nodes as u32, b % nodes as u32)).filter(|(a, b)| a < b).collect();
            let widths: Vec<f64> = (0..nodes).map(|i| 20.0 + i as f64).collect();
            let layout = layout(&widths, &edges, 20.0);
            for (from, to) in &edges {
                prop_assert!(layout.nodes[*from as usize].1 < layout.nodes[*to as usize].1);
            }
            for (i, (x, y)) in layout.nodes.iter().enumerate() {
                prop_assert!(x - widths[i] / 2.0 > -1e-6 && x + widths[i] / 2.0 < layout.width + 1e-6 && *y < layout.height);
                for (j, (other, row)) in layout.nodes.iter().enumerate().skip(i + 1) {
                    prop_assert!(row != y || (x - other).abs() > (widths[i] + widths[j]) / 2.0);
                }
            }
        }
    }
}
