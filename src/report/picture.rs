//! Pictures of graphs: as SVG, and in the language of Graphviz.

use super::layout::layout;
use super::svg::{Anchor, Svg};
use crate::graph::{Graph, LayerRef};
use crate::{Error, ErrorKind, Result};
use std::fmt::Write;
use std::path::Path;

/// The most nodes that are drawn: more could not be told apart.
const MOST: usize = 4000;

/// The width of a letter, and what a box has around its text.
const LETTER: f64 = 6.4;
const HEIGHT: f64 = 22.0;
const PADDING: f64 = 8.0;

/// A picture of a graph: boxes are keys, rounded ones functions; arrows show which values go where, upwards. No other program is needed to
/// draw it.
///
/// ```
/// use chunkstore::graph::{Graph, call, key};
/// use chunkstore::report::Picture;
/// fn add(a: i64, b: i64) -> i64 { a + b }
/// let mut g = Graph::new();
/// g.set("x", 1);
/// g.set("y", call(add, (key("x"), 10)));
/// let picture = Picture::of_graph(&g);
/// assert!(picture.dot().contains("label=\"add\""));
/// assert!(picture.svg()?.contains(">add</text>"));
/// # Ok::<(), chunkstore::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Picture {
    nodes: Vec<Node>,
    /// Pairs of nodes: what comes from the first goes to the second.
    edges: Vec<(u32, u32)>,
}

#[derive(Clone, Debug)]
struct Node {
    label: String,
    function: bool,
}

impl Picture {
    /// A picture of a graph, key by key. That of a collection is of its [`Graph::from_layers`]; of several, of all their layers; of what is run,
    /// of the layers after [`crate::optimize::optimize`].
    pub fn of_graph(graph: &Graph) -> Self {
        let outline = graph.outline();
        let mut picture = Picture { nodes: Vec::new(), edges: Vec::new() };
        for key in &outline {
            picture.nodes.push(Node { label: key.key.clone(), function: false });
        }
        for (id, key) in outline.iter().enumerate() {
            let mut to = id as u32;
            if let Some(function) = &key.function {
                let node = picture.nodes.len() as u32;
                picture.nodes.push(Node { label: function.clone(), function: true });
                picture.edges.push((node, to));
                to = node;
            }
            picture.edges.extend(key.needs.iter().map(|need| (*need, to)));
        }
        picture
    }

    /// A picture of layers instead of their tasks: one box for each, with the number of its blocks. For graphs that are too large to be drawn key by key.
    ///
    /// ```
    /// use chunkstore::{Persist, array::Array, report::Picture};
    /// let x = Array::<f64>::ones([1_000_000], 10).sqrt();
    /// let svg = Picture::of_layers(&[x.layer()?]).svg()?;
    /// assert!(svg.contains("100000 blocks"));
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    pub fn of_layers(layers: &[LayerRef]) -> Self {
        let order = crate::graph::in_order(layers);
        let number = |layer: &LayerRef| order.iter().position(|known| known.key() == layer.key()).map(|at| at as u32);
        let label = |layer: &LayerRef| match layer.blocks() {
            1 => format!("{}, 1 block", layer.name()),
            blocks => format!("{}, {blocks} blocks", layer.name()),
        };
        let nodes = order.iter().map(|layer| Node { label: label(layer), function: false }).collect();
        let mut edges = Vec::new();
        for (to, layer) in order.iter().enumerate() {
            edges.extend(layer.inputs().iter().filter_map(number).map(|from| (from, to as u32)));
        }
        edges.sort_unstable();
        edges.dedup();
        Picture { nodes, edges }
    }

    /// The picture in the language of Graphviz, whatever its size.
    pub fn dot(&self) -> String {
        let mut dot = String::from("digraph {\n  rankdir=BT;\n");
        for (id, Node { label, function }) in self.nodes.iter().enumerate() {
            let shape = if *function { "ellipse" } else { "box" };
            let _ = writeln!(dot, "  n{id} [label=\"{}\", shape={shape}];", label.replace('\\', "\\\\").replace('"', "\\\""));
        }
        for (from, to) in &self.edges {
            let _ = writeln!(dot, "  n{from} -> n{to};");
        }
        dot.push_str("}\n");
        dot
    }

    /// The picture as SVG.
    ///
    /// # Errors
    /// Invalid where there are more than 4,000 keys and functions, which nobody could tell apart.
    pub fn svg(&self) -> Result<String> {
        if self.nodes.len() > MOST {
            let message = format!("a picture of {} keys and functions could not be read; at most {MOST} are drawn", self.nodes.len());
            return Err(Error::new(ErrorKind::Invalid, message)
                .hint("draw its layers (`Picture::of_layers`), a graph of larger chunks, or a part (`optimize::cull`)"));
        }
        let widths: Vec<f64> =
            self.nodes.iter().map(|node| node.label.chars().count().clamp(2, 40) as f64 * LETTER + 2.0 * PADDING).collect();
        let layout = layout(&widths, &self.edges, HEIGHT);
        let mut svg = Svg::new(layout.width + 20.0, layout.height + 20.0);
        let place = |(x, y): (f64, f64)| (x + 10.0, layout.height - y + 10.0);
        for ways in &layout.edges {
            let mut points: Vec<(f64, f64)> = ways.iter().copied().map(place).collect();
            // An arrow begins and ends at the rims of its boxes.
            if let [first, .., last] = points.as_mut_slice() {
                first.1 -= HEIGHT / 2.0;
                last.1 += HEIGHT / 2.0;
            }
            svg.line(&points, "#444", true);
        }
        for ((node, width), at) in self.nodes.iter().zip(&widths).zip(&layout.nodes) {
            let (x, y) = place(*at);
            let round = if node.function { HEIGHT / 2.0 } else { 2.0 };
            svg.outlined((x - width / 2.0, y - HEIGHT / 2.0), (*width, HEIGHT), round, &node.label);
            let text: String = match node.label.chars().count() {
                0..=40 => node.label.clone(),
                _ => node.label.chars().take(39).chain(['…']).collect(),
            };
            svg.text((x, y + 4.0), Anchor::Middle, &text);
        }
        Ok(svg.finish())
    }

    /// Writes the picture to a file: as SVG where its name ends in `.svg`, in the language of Graphviz where it ends in `.dot`.
    ///
    /// # Errors
    /// Those of [`Picture::svg`] and of the file system; invalid where the name ends in anything else.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let text = match path.extension().and_then(|ending| ending.to_str()) {
            Some("svg") => self.svg()?,
            Some("dot" | "gv") => self.dot(),
            _ => {
                let error = Error::new(ErrorKind::Invalid, "a picture is written as .svg or .dot").at(path);
                return Err(error.hint("let the file's name end in one of these; other programs turn SVG into PNG or PDF"));
            }
        };
        std::fs::write(path, text).map_err(|error| Error::new(ErrorKind::Io, format!("the picture was not written: {error}")).at(path))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::graph::{call, key, list};

    fn add(a: i64, b: i64) -> i64 {
        a + b
    }

    fn total(xs: Vec<i64>) -> i64 {
        xs.iter().sum()
    }

    fn talk() -> Graph {
        let mut g = Graph::new();
        g.set("x", call(add, (2, 3)));
        g.set("y", call(add, (2, key("x"))));
        g.set("z", call(total, (list![key("x"), 4, call(add, (1, key("y")))],)));
        g
    }

    #[test]
    fn the_talks_graph_in_graphviz() {
        let dot = Picture::of_graph(&talk()).dot();
        let expected = "digraph {\n  rankdir=BT;\n  n0 [label=\"x\", shape=box];\n  n1 [label=\"y\", shape=box];\n  n2 [label=\"z\", shape=box];\n  \
                        n3 [label=\"add\", shape=ellipse];\n  n4 [label=\"add\", shape=ellipse];\n  n5 [label=\"total\", shape=ellipse];\n  \
                        n3 -> n0;\n  n4 -> n1;\n  n0 -> n4;\n  n5 -> n2;\n  n0 -> n5;\n  n1 -> n5;\n}\n";
        assert_eq!(dot, expected);
    }

    #[test]
    fn a_picture_shows_every_label_and_arrow_and_is_always_the_same() {
        let mut g = talk();
        g.set("<&>", 1);
        let svg = Picture::of_graph(&g).svg().unwrap();
        assert_eq!(svg, Picture::of_graph(&g).svg().unwrap());
        for label in ["x", "y", "z", "total", "&lt;&amp;&gt;"] {
            assert!(svg.contains(&format!(">{label}</text>")), "{label}");
        }
        assert_eq!(svg.matches("marker-end").count(), 6);
        assert_eq!(svg.matches("<rect").count() - 1, 7);
    }

    #[test]
    fn too_large_a_picture_is_refused_and_a_file_is_written_by_its_ending() {
        let mut g = Graph::new();
        (0..MOST as i64 + 1).for_each(|i| g.set(("x", i), i));
        let picture = Picture::of_graph(&g);
        assert_eq!(picture.svg().unwrap_err().kind(), ErrorKind::Invalid);
        let folder = tempfile::tempdir().unwrap();
        picture.save(folder.path().join("g.dot")).unwrap();
        assert!(picture.save(folder.path().join("g.png")).is_err());
        Picture::of_graph(&talk()).save(folder.path().join("g.svg")).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
