use std::time::Duration;

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    #[error("a duration carries a unit, such as {0}s, {0}m or {0}h")]
    NoUnit(String),
    #[error("not a duration: {0} (write 200ms, 30s, 15m, 2h, 7d or a sum such as 1h30m)")]
    NotADuration(String),
}

const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads `200ms`, `30s`, `15m`, `7d`, and sums from the longest unit to the shortest, such as `1h30m`. Nothing else.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let wrong = || DurationError::NotADuration(text.to_owned());
    let (mut rest, mut units, mut ms) = (text.trim(), UNITS.as_slice(), 0_u64);
    if !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(DurationError::NoUnit(rest.to_owned()));
    }
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, behind) = rest.split_at(digits);
        let word = behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(word);
        let at = units.iter().position(|(name, _)| *name == unit).ok_or_else(wrong)?;
        let size = units.get(at).map_or(0, |(_, size)| *size);
        let part = number.parse::<u64>().ok().and_then(|number| number.checked_mul(size)).ok_or_else(wrong)?;
        ms = ms.checked_add(part).ok_or_else(wrong)?;
        units = units.get(at + 1..).unwrap_or_default();
        rest = behind;
    }
    Ok(Duration::from_millis(ms))
}

/// Writes a duration the way a person would in a workflow: `15m`, `1h30m`, `200ms`.
pub fn format_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut out = String::new();
    for (unit, size) in UNITS {
        if rest >= size {
            out.push_str(&format!("{}{unit}", rest / size));
            rest %= size;
        }
    }
    if out.is_empty() { "0s".to_owned() } else { out }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for (text, seconds) in [("30s", 30), ("15m", 900), ("2h", 7_200), ("7d", 604_800), ("1d2h3m4s", 93_784)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)));
            assert_eq!(format_duration(Duration::from_secs(seconds)), text);
        }
        assert_eq!(parse_duration(" 1s500ms "), Ok(Duration::from_millis(1_500)));
        assert_eq!(parse_duration("0s"), Ok(Duration::ZERO));
    }

    #[test]
    fn no_other_spelling_is_a_duration() {
        for text in [
            "",
            "s",
            "-1s",
            "3 days",
            "3d 2h",
            "1.5h",
            "PT1H",
            "1w",
            "1mo",
            "30m1h",
            "1s1s",
            "1h30",
            "1H",
            "1µs",
            "５s",
            "1,5h",
            "+1s",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert!(matches!(parse_duration(text), Err(DurationError::NotADuration(_))), "{text}");
        }
        assert_eq!(parse_duration("30").unwrap_err().to_string(), "a duration carries a unit, such as 30s, 30m or 30h");
    }
}
