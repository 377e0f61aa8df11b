//! Timestamps and bytes as people read them.

use std::fmt::{self, Display, Write as _};

/// Characters of a key, a value or a header that are shown unless all are asked for.
const MAX_SHOWN_CHARACTERS: usize = 80;

const DAY_MS: i64 = 24 * 3600 * 1000;

/// A timestamp in milliseconds as a time in UTC; -1, which stands for none, as `-`.
pub(super) struct Time(pub(super) i64);

impl Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == -1 {
            return f.pad("-");
        }
        let (days, ms) = (self.0.div_euclid(DAY_MS), self.0.rem_euclid(DAY_MS));
        let (year, month, day) = date(days);
        let (hours, minutes) = (ms / 3_600_000, ms / 60_000 % 60);
        let (seconds, ms) = (ms / 1000 % 60, ms % 1000);
        f.pad(&format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{ms:03}Z"))
    }
}

/// Year, month and day of the Gregorian calendar, of the day so many days after 1970-01-01.
fn date(days: i64) -> (i64, i64, i64) {
    // Years are counted from March on, so that the day that leap years add is their last one.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (400 * era + year_of_era + i64::from(month <= 2), month, day)
}

/// A key or a value: quoted text where it is UTF-8, else hexadecimal, `null` without one.
pub(super) struct Shown<'a> {
    pub(super) bytes: Option<&'a [u8]>,
    /// To its end.
    pub(super) full: bool,
}

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(bytes) = self.bytes else { return f.write_str("null") };
        let limit = if self.full { usize::MAX } else { MAX_SHOWN_CHARACTERS };
        let cut = match std::str::from_utf8(bytes) {
            Ok(text) => {
                let mut characters = text.chars();
                f.write_char('"')?;
                for character in characters.by_ref().take(limit) {
                    write!(f, "{}", character.escape_debug())?;
                }
                f.write_char('"')?;
                characters.next().is_some()
            }
            Err(_) => {
                f.write_str("0x")?;
                bytes.iter().take(limit / 2).try_for_each(|byte| write!(f, "{byte:02x}"))?;
                bytes.len() > limit / 2
            }
        };
        if cut { write!(f, "... ({} bytes)", bytes.len()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (-86_400_000, "1969-12-31T00:00:00.000Z"),
            (-1, "-"),
        ] {
            assert_eq!(Time(ms).to_string(), text);
        }
        for ms in [i64::MIN, i64::MAX] {
            assert!(Time(ms).to_string().len() > 24);
        }
    }

    #[test]
    fn bytes() {
        let shown = |bytes, full| Shown { bytes, full }.to_string();
        assert_eq!(shown(None, false), "null");
        assert_eq!(shown(Some(b"a\n\"\xc3\xa9"), false), "\"a\\n\\\"\u{e9}\"");
        assert_eq!(shown(Some(&[0xff, 0]), false), "0xff00");
        let long = [b'x'; 100];
        assert_eq!(shown(Some(&long), false), format!("\"{}\"... (100 bytes)", "x".repeat(80)));
        assert_eq!(shown(Some(&long), true), format!("\"{}\"", "x".repeat(100)));
        assert_eq!(shown(Some(&[0xff; 41]), false), format!("0x{}... (41 bytes)", "ff".repeat(40)));
    }
}
