//! Numbers as people read them.

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

/// A time in seconds since 1970, as date and time (UTC): `2026-11-22 22:05:12Z`.
pub(crate) fn time(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Howard Hinnant's `civil_from_days`: years that begin in March, in eras of 400 years.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = era * 400 + year + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::{bytes, count, time};

    #[test]
    fn numbers_for_people() {
        assert_eq!([count(7), count(1234), count(1_000_000)], ["7", "1,234", "1,000,000"]);
        assert_eq!([bytes(0), bytes(3 << 19), bytes(2 << 30)], ["0 B", "1.5 MiB", "2.00 GiB"]);
        assert_eq!(
            [time(0), time(951_868_800), time(1_795_385_112)],
            ["1970-01-01 00:00:00Z", "2000-03-01 00:00:00Z", "2026-11-22 22:05:12Z"]
        );
    }
}
