//! Amounts as providers write them: `"12.34"` and 1234 minor units are the same with two digits behind the point.

/// The most digits behind a point that any currency has.
const DIGITS_MAX: i64 = 6;

/// `"12.34"` with 2 digits is 1234. Never rounds: a digit too many is an error.
pub(super) fn minor(text: &str, digits: i64) -> Option<i64> {
    let digits = width(digits)?;
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let significant = part.trim_end_matches('0');
    if whole.is_empty() || !all_digits(whole) || !all_digits(part) || significant.len() > digits {
        return None;
    }
    let amount: i64 = format!("{whole}{significant:0<digits$}").parse().ok()?;
    Some(if negative { -amount } else { amount })
}

/// 1234 with 2 digits is `"12.34"`.
pub(super) fn major(amount: i64, digits: i64) -> Option<String> {
    let digits = width(digits)?;
    let sign = if amount < 0 { "-" } else { "" };
    let text = format!("{:0width$}", amount.unsigned_abs(), width = digits + 1);
    let (whole, part) = text.split_at(text.len() - digits);
    let point = if digits == 0 { "" } else { "." };
    Some(format!("{sign}{whole}{point}{part}"))
}

fn width(digits: i64) -> Option<usize> {
    (0..=DIGITS_MAX).contains(&digits).then(|| usize::try_from(digits).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_text_and_minor_units_are_the_same_amount() {
        for (text, digits, amount) in [("12.34", 2, 1234), ("12", 2, 1200), ("-0.5", 2, -50), ("7", 0, 7)] {
            assert_eq!(minor(text, digits), Some(amount), "{text}");
        }
        assert_eq!(minor("1.230", 2), Some(123), "a zero too many is the same amount");
        for text in ["1.234", "", ".5", "1e3", "1,5", "--1", "99999999999999999999"] {
            assert_eq!(minor(text, 2), None, "{text}");
        }
        assert_eq!(major(1234, 2).as_deref(), Some("12.34"));
        assert_eq!(major(-5, 2).as_deref(), Some("-0.05"));
        assert_eq!(major(600, 0).as_deref(), Some("600"));
        assert_eq!(major(1, 9), None);
    }
}
