use std::time::Duration;

use jiff::SpanRelativeTo;

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    #[error("a duration carries a unit, such as {0}s, {0}m or {0}h")]
    NoUnit(String),
    #[error("not a duration: {0} (write 200ms, 30s, 15m, 2h, 7d or a sum such as 1h30m)")]
    NotADuration(String),
    #[error("a duration of months or years has no fixed length: write days instead, such as 30d")]
    Calendar,
    #[error("a duration is not negative")]
    Negative,
}

/// Reads `200ms`, `30s`, `15m`, `1h30m`, `7d`. A day has 24 hours. Bare numbers and months are refused.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(DurationError::NoUnit(text.to_owned()));
    }
    let span: jiff::Span = text.parse().map_err(|_| DurationError::NotADuration(text.to_owned()))?;
    if span.get_months() != 0 || span.get_years() != 0 {
        return Err(DurationError::Calendar);
    }
    if span.is_negative() {
        return Err(DurationError::Negative);
    }
    let exact = span
        .to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(|_| DurationError::NotADuration(text.to_owned()))?;
    Duration::try_from(exact).map_err(|_| DurationError::NotADuration(text.to_owned()))
}

/// Writes a duration the way a person would in a workflow: `15m`, `1h30m`, `200ms`.
pub fn format_duration(duration: Duration) -> String {
    let ms = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    let mut rest = ms;
    let mut out = String::new();
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
        if rest >= size {
            out.push_str(&format!("{}{unit}", rest / size));
            rest %= size;
        }
    }
    if out.is_empty() { "0s".to_owned() } else { out }
}
