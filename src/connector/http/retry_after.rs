//! `Retry-After`: how long the provider asks us to wait.

use jiff::fmt::rfc2822;
use reqwest::header::{self, HeaderMap, HeaderName};

use crate::connector::config::Clock;

const CAP_MS: u64 = 3_600_000;

/// Seconds or an HTTP date, in milliseconds, one hour at most. A date is compared with the reply's own `Date`, so that
/// a provider's clock that is wrong does not matter.
pub(super) fn retry_after(headers: &HeaderMap, clock: &Clock) -> Option<u64> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds = text.parse::<u64>().unwrap_or(u64::MAX);
        return Some(seconds.saturating_mul(1_000).min(CAP_MS));
    }
    let at = date_ms(text)?;
    let now = date_header(headers, &header::DATE).unwrap_or_else(|| clock().unix_ms());
    Some(u64::try_from(at.saturating_sub(now)).unwrap_or(0).min(CAP_MS))
}

fn date_header(headers: &HeaderMap, name: &HeaderName) -> Option<i64> {
    date_ms(headers.get(name)?.to_str().ok()?)
}

fn date_ms(text: &str) -> Option<i64> {
    rfc2822::DateTimeParser::new().parse_timestamp(text).ok().map(|at| at.as_millisecond())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::types::Timestamp;

    fn wait(retry_after: &str, date: Option<&str>) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, retry_after.parse().unwrap());
        if let Some(date) = date {
            headers.insert(header::DATE, date.parse().unwrap());
        }
        // Sun, 06 Nov 1994 08:49:37 GMT
        let clock: Clock = Arc::new(|| Timestamp::from_unix_ms(784_111_777_000));
        super::retry_after(&headers, &clock)
    }

    #[test]
    fn seconds_and_dates_are_understood_and_capped() {
        assert_eq!(wait("120", None), Some(120_000));
        assert_eq!(wait("86400", None), Some(CAP_MS));
        assert_eq!(wait("99999999999999999999", None), Some(CAP_MS));
        assert_eq!(wait("Sun, 06 Nov 1994 08:50:37 GMT", None), Some(60_000));
        assert_eq!(wait("Sun, 06 Nov 1994 08:00:00 GMT", None), Some(0));
        let date = Some("Wed, 05 Nov 2031 10:00:00 GMT");
        assert_eq!(wait("Wed, 05 Nov 2031 10:00:05 GMT", date), Some(5_000));
        assert_eq!(wait("soon", None), None);
        assert_eq!(wait("-1", None), None);
    }
}
