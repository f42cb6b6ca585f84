//! What the demo prints: plain text, with a little weight where standard output is a terminal.

use std::io::IsTerminal;

/// Prints lines, or nothing where a program reads the output.
pub(crate) struct Screen {
    shown: bool,
    styled: bool,
}

impl Screen {
    /// A screen that shows what it is given, if `shown`.
    pub(crate) fn new(shown: bool) -> Self {
        let styled = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Screen { shown, styled }
    }

    /// A line that begins something, with a remark beside it.
    pub(crate) fn head(&self, text: &str, remark: &str) {
        match self.styled {
            true => self.line(&format!("\x1b[1m{text}\x1b[0m  \x1b[2m{remark}\x1b[0m")),
            false => self.line(&format!("{text}  {remark}")),
        }
    }

    /// A line.
    pub(crate) fn line(&self, text: &str) {
        if self.shown {
            println!("{text}");
        }
    }

    /// A name, and what there is to say of it.
    pub(crate) fn item(&self, name: &str, text: &str) {
        self.line(&format!("   {name:<14}{text}"));
    }

    /// A name, a forecast and a fact.
    pub(crate) fn pair(&self, name: &str, forecast: &str, fact: &str) {
        self.line(&format!("   {name:<14}{forecast:>12}{fact:>14}"));
    }
}
