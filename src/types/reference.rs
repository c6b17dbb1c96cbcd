//! References of ours at a provider: a call's key `{order}-{call}-{epoch}`, or an order's id, in full or short.

use super::OrderId;

const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
/// Digits of a UUID to the base of 36.
const ID_DIGITS: usize = 25;
const EPOCHS: u64 = 1_000;
const SHORT_MAX: usize = 32;

/// The short form of a key or of an order's id: at most 32 small letters and digits, which every provider takes. Two keys
/// never have the same, and `order_of_reference` finds the order in it. None for any other text.
pub fn short_key_of(key: &str) -> Option<String> {
    let order: OrderId = key.get(..36)?.parse().ok()?;
    let mut short = base36(u128::from_be_bytes(*order.as_bytes()), ID_DIGITS);
    if let Some(call) = key.get(36..).filter(|rest| !rest.is_empty()) {
        let (call, epoch) = call.strip_prefix('-')?.split_once('-')?;
        let (call, epoch): (u64, u64) = (call.parse().ok()?, epoch.parse().ok().filter(|epoch| *epoch < EPOCHS)?);
        short.push_str(&base36(u128::from(call.checked_mul(EPOCHS)? + epoch), 1));
    }
    (short.len() <= SHORT_MAX).then_some(short)
}

/// The order that a reference of ours belongs to: `{order}`, `{order}-{call}-{epoch}`, either of them in short, or the 32
/// hexadecimal digits of the order's id.
pub fn order_of_reference(reference: &str) -> Option<OrderId> {
    if let Some(order) = reference.get(..36).and_then(|id| id.parse().ok()) {
        return Some(order);
    }
    if reference.len() == 32
        && reference.bytes().all(|byte| byte.is_ascii_hexdigit())
        && let Ok(order) = reference.parse::<OrderId>()
        && is_version_7(&order)
    {
        return Some(order);
    }
    let short = reference.get(..ID_DIGITS).filter(|_| reference.len() <= SHORT_MAX)?;
    if !reference.bytes().all(|byte| DIGITS.contains(&byte)) {
        return None;
    }
    let order = OrderId::from_bytes(u128::from_str_radix(short, 36).ok()?.to_be_bytes());
    is_version_7(&order).then_some(order)
}

/// The call and the epoch that a reference of ours names: `{order}-{call}-{epoch}`, or that in short. None for a reference
/// that names an order alone, and for any other text.
pub fn call_of_reference(reference: &str) -> Option<(OrderId, u64, u64)> {
    let order = order_of_reference(reference)?;
    if let Some(rest) = reference.get(36..).filter(|_| reference.len() > SHORT_MAX) {
        let (call, epoch) = rest.strip_prefix('-')?.split_once('-')?;
        return Some((order, call.parse().ok()?, epoch.parse().ok()?));
    }
    let rest = reference.get(ID_DIGITS..).filter(|rest| !rest.is_empty() && reference.len() < SHORT_MAX)?;
    let number = u64::from_str_radix(rest, 36).ok()?;
    Some((order, number / EPOCHS, number % EPOCHS))
}

/// All orders are: a text that is read as another kind of id was never one of ours.
fn is_version_7(order: &OrderId) -> bool {
    order.as_bytes()[6] >> 4 == 7
}

fn base36(mut number: u128, least: usize) -> String {
    let mut digits = Vec::with_capacity(least);
    while number > 0 || digits.len() < least {
        digits.push(usize::try_from(number % 36).map_or(b'0', |digit| DIGITS[digit]));
        number /= 36;
    }
    digits.into_iter().rev().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: &str = "019ab1c2-7d4e-7000-8000-0242ac120002";

    #[test]
    fn a_short_key_is_short_unlike_any_other_and_leads_back_to_its_order() {
        let order: OrderId = ORDER.parse().unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for key in [ORDER.to_owned(), format!("{ORDER}-1-0"), format!("{ORDER}-1-1"), format!("{ORDER}-11-0")]
            .into_iter()
            .chain((2..50).map(|call| format!("{ORDER}-{call}-{}", call % 3)))
        {
            let short = short_key_of(&key).unwrap();
            assert!(short.len() <= 32 && short.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{short}");
            assert_eq!(order_of_reference(&short), Some(order), "{key}");
            assert_eq!(order_of_reference(&key), Some(order), "{key}");
            assert_eq!(call_of_reference(&short), call_of_reference(&key), "{key}");
            assert!(seen.insert(short), "{key}");
        }
        assert_eq!(order_of_reference(&ORDER.replace('-', "")), Some(order));
        assert_eq!(call_of_reference(&format!("{ORDER}-12-3")), Some((order, 12, 3)));
        for alone in [ORDER.to_owned(), short_key_of(ORDER).unwrap(), ORDER.replace('-', ""), format!("{ORDER}-1")] {
            assert_eq!(call_of_reference(&alone), None, "{alone}");
        }
    }

    #[test]
    fn what_is_no_reference_of_ours_leads_nowhere() {
        for text in ["", "pi_3MtwBwLkdIwHu7ix28a3tqPa", "zzzzzzzzzzzzzzzzzzzzzzzzz", "d41d8cd98f00b204e9800998ecf8427e"]
        {
            assert_eq!(order_of_reference(text), None, "{text}");
        }
        for text in ["", "x", &format!("{ORDER}-1"), &format!("{ORDER}-1-1000"), &format!("{ORDER}x1-2")] {
            assert_eq!(short_key_of(text), None, "{text}");
        }
    }
}
