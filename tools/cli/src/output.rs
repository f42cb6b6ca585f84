//! Where answers go: standard output, as text or as JSON.

use crate::common::{Common, When};
use crate::failure::Result;
use serde_json::Value;
use std::fmt::Display;
use std::io::{BufWriter, IsTerminal, Write};

/// How a piece of text is set off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Bold,
    Dim,
    Green,
    Yellow,
    Red,
    Cyan,
}

impl Style {
    fn code(self) -> &'static str {
        match self {
            Style::Bold => "1",
            Style::Dim => "2",
            Style::Green => "32",
            Style::Yellow => "33",
            Style::Red => "1;31",
            Style::Cyan => "36",
        }
    }
}

/// Standard output, and how to write to it.
pub(crate) struct Output {
    out: Box<dyn Write>,
    json: bool,
    styled: bool,
    unicode: bool,
    width: usize,
}

/// The width where there is no terminal that has one.
const WIDTH: usize = 100;

impl Output {
    /// Standard output, as the options say.
    pub(crate) fn new(common: &Common) -> Self {
        let stdout = std::io::stdout();
        let terminal = stdout.is_terminal();
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let styled = match common.color {
            When::Auto => terminal && !plain,
            When::Always => true,
            When::Never => false,
        };
        let width = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).filter(|columns| *columns >= 40);
        Output {
            out: Box::new(BufWriter::with_capacity(64 << 10, stdout)),
            json: common.json,
            styled,
            unicode: !common.ascii && locale_is_utf8(),
            width: width.unwrap_or(WIDTH),
        }
    }

    /// Whether a program reads the answers.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether more than ASCII may be used for drawing.
    pub(crate) fn unicode(&self) -> bool {
        self.unicode
    }

    /// The characters of a line.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// A line of text.
    pub(crate) fn line(&mut self, text: impl Display) -> Result {
        Ok(writeln!(self.out, "{text}")?)
    }

    /// A JSON document on a line.
    pub(crate) fn document(&mut self, value: &Value) -> Result {
        Ok(writeln!(self.out, "{value}")?)
    }

    /// Bytes as they are.
    pub(crate) fn raw(&mut self) -> &mut dyn Write {
        &mut self.out
    }

    /// Text set off, where that is wanted.
    pub(crate) fn style(&self, style: Style, text: impl Display) -> String {
        if self.styled { format!("\x1b[{}m{text}\x1b[0m", style.code()) } else { text.to_string() }
    }

    /// Writes what is still in memory.
    pub(crate) fn flush(&mut self) -> Result {
        Ok(self.out.flush()?)
    }
}

/// Whether the first of the variables that decide is set to UTF-8.
fn locale_is_utf8() -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(|name| std::env::var(name).ok()).find(|value| !value.is_empty());
    set.is_some_and(|value| {
        let value = value.to_ascii_lowercase();
        value.contains("utf-8") || value.contains("utf8")
    })
}
