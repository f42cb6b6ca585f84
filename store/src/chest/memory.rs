//! Amounts of memory as numbers or text.

use crate::{Error, ErrorKind, Result};

/// Bytes: a number of them, or text such as `"256MiB"`.
///
/// ```
/// use chunkstore_store::IntoBytes;
/// assert_eq!("256MiB".into_bytes()?, 256 << 20);
/// assert_eq!("1.5 GB".into_bytes()?, 1_500_000_000);
/// assert_eq!((64 << 20).into_bytes()?, 67_108_864);
/// assert!("256 apples".into_bytes().is_err());
/// # Ok::<(), chunkstore_store::Error>(())
/// ```
pub trait IntoBytes {
    /// The number of bytes.
    ///
    /// # Errors
    /// Invalid for text that is no amount.
    fn into_bytes(self) -> Result<u64>;
}

impl IntoBytes for u64 {
    fn into_bytes(self) -> Result<u64> {
        Ok(self)
    }
}

impl IntoBytes for &str {
    fn into_bytes(self) -> Result<u64> {
        parse(self)
    }
}

impl IntoBytes for String {
    fn into_bytes(self) -> Result<u64> {
        parse(&self)
    }
}

impl IntoBytes for &String {
    fn into_bytes(self) -> Result<u64> {
        parse(self)
    }
}

fn parse(text: &str) -> Result<u64> {
    let trimmed = text.trim();
    let end = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(trimmed.len());
    let (digits, unit) = trimmed.split_at(end);
    let unit = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => Some(1u64),
        "k" | "kib" => Some(1 << 10),
        "m" | "mib" => Some(1 << 20),
        "g" | "gib" => Some(1 << 30),
        "t" | "tib" => Some(1 << 40),
        "kb" => Some(1_000),
        "mb" => Some(1_000_000),
        "gb" => Some(1_000_000_000),
        "tb" => Some(1_000_000_000_000),
        _ => None,
    };
    let digits = digits.replace('_', "");
    let bytes = unit.and_then(|unit| match digits.parse::<u64>() {
        Ok(whole) => whole.checked_mul(unit),
        Err(_) => {
            digits.parse::<f64>().ok().map(|number| number * unit as f64).filter(|bytes| *bytes < u64::MAX as f64).map(|bytes| bytes as u64)
        }
    });
    bytes.ok_or_else(|| {
        Error::new(ErrorKind::Invalid, format!("{text:?} is no amount of memory")).hint("write it as 67108864, \"64MiB\" or \"1.5GB\"")
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn amounts() {
        for (text, bytes) in [
            ("0", 0),
            ("12", 12),
            (" 3 KiB ", 3072),
            ("1k", 1024),
            ("2kb", 2000),
            ("1_000 b", 1000),
            ("0.5 MiB", 1 << 19),
            ("1TiB", 1 << 40),
        ] {
            assert_eq!(text.into_bytes().unwrap(), bytes, "{text}");
        }
        for text in ["", "MiB", "-1", "1..2 kb", "1 kibi", "99999999999999999999 TiB", "nan", "1e999 b"] {
            assert_eq!(text.into_bytes().unwrap_err().kind(), ErrorKind::Invalid, "{text}");
        }
    }
}
