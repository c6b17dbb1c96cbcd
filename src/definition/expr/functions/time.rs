//! Times in the formats of providers.

use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::{Offset, TimeZone};

use super::{Answer, text_of};
use crate::types::Value;

pub(super) fn unix(args: &[Value]) -> Answer {
    time(args).map(|at| Value::from(at.as_second()))
}

pub(super) fn unix_ms(args: &[Value]) -> Answer {
    time(args).map(|at| Value::from(at.as_millisecond()))
}

/// `format_time(now, "%Y%m%d%H%M%S", "+08:00")`: in UTC where no zone is named.
pub(super) fn format_time(args: &[Value]) -> Answer {
    let at = time(args)?;
    let zone = match args.get(2) {
        None => TimeZone::UTC,
        Some(_) => zone(text_of(args, 2)?).ok_or("knows zones as UTC and +08:00")?,
    };
    let at = at.to_zoned_datetime(zone);
    strtime::format(text_of(args, 1)?, &at).map(Value::String).map_err(|_| "knows formats such as %Y-%m-%d %H:%M:%S")
}

/// RFC 3339 text, or seconds since 1970.
fn time(args: &[Value]) -> Result<Timestamp, &'static str> {
    let problem = "is about a time such as `now` or `order.created_at`";
    match args.first() {
        Some(Value::String(text)) => text.parse().map_err(|_| problem),
        Some(Value::Number(number)) => {
            number.as_i64().and_then(|seconds| Timestamp::from_second(seconds).ok()).ok_or(problem)
        }
        _ => Err(problem),
    }
}

/// Offsets alone: the rules of a named zone differ from one machine to the next, and an expression must not.
fn zone(name: &str) -> Option<TimeZone> {
    if name == "UTC" {
        return Some(TimeZone::UTC);
    }
    let (hours, minutes) = name.strip_prefix(['+', '-'])?.split_once(':')?;
    let seconds = hours.parse::<u8>().map(i32::from).ok()? * 3_600 + minutes.parse::<u8>().map(i32::from).ok()? * 60;
    let offset = Offset::from_seconds(if name.starts_with('-') { -seconds } else { seconds });
    offset.ok().map(TimeZone::fixed)
}
