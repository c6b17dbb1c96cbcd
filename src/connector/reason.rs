//! Reasons: what a person reads beside an outcome. Bounded, one line, and without anything that looks like a card.

const LENGTH_MAX: usize = 200;
/// Card numbers have 12 to 19 digits.
const CARD_DIGITS_MIN: usize = 12;

/// Makes a text fit to be journaled, logged and shown.
pub(super) fn reason(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LENGTH_MAX).collect();
    mask_cards(&clean)
}

/// Replaces every run of digits that is long enough for a card number, also when it is grouped by blanks or hyphens.
pub(super) fn mask_cards(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut run = String::new();
    for c in text.chars().chain(std::iter::once('\0')) {
        let grouping = (c == ' ' || c == '-') && !run.is_empty();
        if c.is_ascii_digit() || grouping {
            run.push(c);
            continue;
        }
        let digits = run.chars().filter(char::is_ascii_digit).count();
        let kept = run.trim_end_matches([' ', '-']).len();
        out.push_str(if digits >= CARD_DIGITS_MIN { "***" } else { &run[..kept] });
        out.push_str(&run[kept..]);
        run.clear();
        if c != '\0' {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_short_and_shows_no_card() {
        assert_eq!(reason("paid 4111111111111111 twice"), "paid *** twice");
        assert_eq!(reason("4111 1111-1111 1111."), "***.");
        assert_eq!(reason("status 503 after 1 2 3"), "status 503 after 1 2 3");
        assert_eq!(reason("a\r\nb\0c"), "a  b c");
        assert_eq!(reason(&"x".repeat(1_000)).len(), 200);
    }
}
