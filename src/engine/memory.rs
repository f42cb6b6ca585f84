//! Sizes as people write them.

use crate::{Error, ErrorKind, Result};

/// Reads a number of bytes such as `2GiB`, `256 MiB`, `1.5GB`, `4096`.
///
/// Units are `B`, `kB` `MB` `GB` `TB` (powers of 1000), `KiB` `MiB` `GiB` `TiB` (powers of 1024), in any case, and may be left out.
///
/// # Errors
/// Invalid where the text is not a number and a unit.
///
/// ```
/// use chunkstore::engine::parse_bytes;
/// assert_eq!(parse_bytes("256MiB")?, 256 << 20);
/// assert_eq!(parse_bytes("1.5 GB")?, 1_500_000_000);
/// assert!(parse_bytes("much").is_err());
/// # Ok::<(), chunkstore::Error>(())
/// ```
pub fn parse_bytes(text: &str) -> Result<u64> {
    let trimmed = text.trim();
    let split = trimmed.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_')).unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(split);
    let wrong = || {
        Error::new(ErrorKind::Invalid, format!("{text:?} is not a number of bytes"))
            .hint("write it as \"256MiB\", \"2GB\" or a plain number of bytes")
    };
    let unit: f64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "t" | "tb" => 1e12,
        "kib" | "ki" => 1024.0,
        "mib" | "mi" => (1u64 << 20) as f64,
        "gib" | "gi" => (1u64 << 30) as f64,
        "tib" | "ti" => (1u64 << 40) as f64,
        _ => return Err(wrong()),
    };
    let number: f64 = number.replace('_', "").parse().map_err(|_| wrong())?;
    let bytes = number * unit;
    if !(0.0..9e18).contains(&bytes) {
        return Err(wrong());
    }
    Ok(bytes as u64)
}

/// Writes a number of bytes for people: `256.0 MiB`.
pub(crate) fn show_bytes(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..0x10_0000 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        0x10_0000..0x4000_0000 => format!("{:.1} MiB", bytes as f64 / (1u64 << 20) as f64),
        _ => format!("{:.2} GiB", bytes as f64 / (1u64 << 30) as f64),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{parse_bytes, show_bytes};

    #[test]
    fn reads_what_people_write() {
        for (text, bytes) in
            [("0", 0), ("12", 12), ("1KiB", 1024), ("1 kb", 1000), ("0.5GiB", 1 << 29), ("1_000", 1000), (" 3TiB ", 3 << 40)]
        {
            assert_eq!(parse_bytes(text).unwrap(), bytes, "{text}");
        }
        for text in ["", "MiB", "-1", "1 parsec", "1e99", "..", "nan"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shows_them() {
        assert_eq!(
            [show_bytes(7), show_bytes(2048), show_bytes(256 << 20), show_bytes(3 << 30)],
            ["7 B", "2.0 KiB", "256.0 MiB", "3.00 GiB"]
        );
    }
}
