//! Amounts in the units of a provider, and currencies by the names of others.

use super::Answer;
use crate::types::{Currency, Value};

/// No currency has as many.
const DIGITS_MAX: i64 = 18;
const NO_CURRENCY: &str = "is about a currency of ISO 4217";

/// An amount with so many digits behind the point as one with as many others. What would be cut off is an error.
pub(super) fn rescale(args: &[Value]) -> Answer {
    let amount = args.first().and_then(Value::as_i64).ok_or("is about a whole number of minor units")?;
    let (from, to) = (digits(args, 1)?, digits(args, 2)?);
    let factor = |by: u32| 10_i64.checked_pow(by).ok_or("has no value that large");
    if to >= from {
        return amount.checked_mul(factor(to - from)?).map(Value::from).ok_or("has no value that large");
    }
    let divisor = factor(from - to)?;
    if amount % divisor == 0 { Ok(Value::from(amount / divisor)) } else { Err("would cut off digits that are not 0") }
}

pub(super) fn currency_digits(args: &[Value]) -> Answer {
    currency(args, 0).map(|currency| Value::from(currency.exponent()))
}

/// The number of ISO 4217, with its zeros.
pub(super) fn currency_number(args: &[Value]) -> Answer {
    currency(args, 0).map(|currency| Value::from(format!("{:03}", currency.number())))
}

/// Said, or those of a currency.
fn digits(args: &[Value], at: usize) -> Result<u32, &'static str> {
    match args.get(at).and_then(Value::as_i64) {
        Some(said) => u32::try_from(said).ok().filter(|_| said <= DIGITS_MAX).ok_or("takes 0 to 18 digits"),
        None => currency(args, at).map(Currency::exponent),
    }
}

fn currency(args: &[Value], at: usize) -> Result<Currency, &'static str> {
    args.get(at).and_then(Value::as_str).and_then(|code| code.parse().ok()).ok_or(NO_CURRENCY)
}
