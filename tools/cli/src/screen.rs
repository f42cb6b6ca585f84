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

/// A number of bytes: `2.00 GiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    let value = bytes as f64;
    match bytes {
        0..0x400 => format!("{bytes} B"),
        0x400..0x10_0000 => format!("{:.1} KiB", value / 1024.0),
        0x10_0000..0x4000_0000 => format!("{:.1} MiB", value / (1u64 << 20) as f64),
        _ => format!("{:.2} GiB", value / (1u64 << 30) as f64),
    }
}

/// A number with commas: `65,536`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Gigabytes a second.
pub(crate) fn rate(bytes: u64, seconds: f64) -> String {
    format!("{:.2} GB/s", bytes as f64 / 1e9 / seconds.max(1e-9))
}

#[cfg(test)]
mod tests {
    use super::{bytes, count};

    #[test]
    fn numbers_for_people() {
        assert_eq!([count(7), count(1234), count(1_000_000)], ["7", "1,234", "1,000,000"]);
        assert_eq!([bytes(0), bytes(3 << 19), bytes(2 << 30)], ["0 B", "1.5 MiB", "2.00 GiB"]);
    }
}
