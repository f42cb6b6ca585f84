//! Bytes in hexadecimal digits.

/// The bytes as digits, at most so many bytes of them.
pub(crate) fn hex(bytes: &[u8], most: usize) -> String {
    let mut text: String = bytes.iter().take(most).map(|byte| format!("{byte:02x}")).collect();
    if bytes.len() > most {
        text += "...";
    }
    text
}

/// Lines of 16 bytes: where they begin, their digits, and what they are as text.
pub(crate) fn dump(bytes: &[u8], lines: usize) -> Vec<String> {
    let line = |(at, bytes): (usize, &[u8])| {
        let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let text: String =
            bytes.iter().map(|byte| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' }).collect();
        format!("{:08x}  {:<47}  |{text}|", at * 16, digits.join(" "))
    };
    bytes.chunks(16).take(lines).enumerate().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::{dump, hex};

    #[test]
    fn digits() {
        assert_eq!([hex(b"\x00\xffa", 9), hex(b"abc", 2), hex(b"", 2)], ["00ff61", "6162...", ""]);
        let lines = dump(b"sixteen bytes ok, then more", 5);
        assert_eq!(lines[0], "00000000  73 69 78 74 65 65 6e 20 62 79 74 65 73 20 6f 6b  |sixteen bytes ok|");
        assert_eq!((lines.len(), lines[1].ends_with("|, then more|")), (2, true));
        assert_eq!(dump(b"sixteen bytes ok, then more", 1).len(), 1);
    }
}
