//! The little of SVG that the pictures here are made of.

use std::fmt::Write;

/// A picture under way: shapes are written as they are added.
pub(super) struct Svg {
    width: f64,
    height: f64,
    body: String,
}

/// Text as it stands in XML.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Where a text stands beside its point.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Svg {
    pub(super) fn new(width: f64, height: f64) -> Self {
        Svg { width, height, body: String::new() }
    }

    /// A rectangle; `title` is shown where the pointer rests on it.
    pub(super) fn rect(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), fill: &str, title: &str) {
        let _ = write!(self.body, "<rect x=\"{x:.2}\" y=\"{y:.2}\" width=\"{width:.2}\" height=\"{height:.2}\" fill=\"{fill}\"");
        let _ = match title {
            "" => writeln!(self.body, "/>"),
            title => writeln!(self.body, "><title>{}</title></rect>", escape(title)),
        };
    }

    /// A box with round corners and a line around it.
    pub(super) fn outlined(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), round: f64, title: &str) {
        let _ = writeln!(
            self.body,
            "<rect x=\"{x:.2}\" y=\"{y:.2}\" width=\"{width:.2}\" height=\"{height:.2}\" rx=\"{round:.1}\" fill=\"#fff\" stroke=\"#444\"><title>{}</title></rect>",
            escape(title)
        );
    }

    pub(super) fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let _ = writeln!(self.body, "<text x=\"{x:.2}\" y=\"{y:.2}\" text-anchor=\"{anchor}\">{}</text>", escape(text));
    }

    /// A line through points.
    pub(super) fn line(&mut self, points: &[(f64, f64)], stroke: &str, arrow: bool) {
        let mut path = String::new();
        for (x, y) in points {
            let _ = write!(path, "{x:.2},{y:.2} ");
        }
        let end = if arrow { " marker-end=\"url(#arrow)\"" } else { "" };
        let _ = writeln!(self.body, "<polyline points=\"{}\" fill=\"none\" stroke=\"{stroke}\"{end}/>", path.trim_end());
    }

    /// The picture, whole.
    pub(super) fn finish(self) -> String {
        let Svg { width, height, body } = self;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\" \
             font-family=\"sans-serif\" font-size=\"11\">\n\
             <defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\">\
             <path d=\"M0,0 L8,4 L0,8 z\" fill=\"#444\"/></marker></defs>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{body}</svg>\n"
        )
    }
}

/// A colour for each number, the first ones well apart.
pub(super) fn colour(number: usize) -> String {
    // The golden angle keeps neighbours apart, however many there are.
    let hue = (number as f64 * 137.508) % 360.0;
    let (light, saturation) = ([0.52, 0.40, 0.64][number / 7 % 3], 0.58);
    let reach = saturation * f64::min(light, 1.0 - light);
    // From hue, saturation and lightness to red, green and blue, as CSS Color 4 has it.
    let channel = |offset: f64| {
        let k = (offset + hue / 30.0) % 12.0;
        let value: f64 = light - reach * f64::min(k - 3.0, 9.0 - k).clamp(-1.0, 1.0);
        (value * 255.0).round() as u8
    };
    format!("#{:02x}{:02x}{:02x}", channel(0.0), channel(8.0), channel(4.0))
}
