//! What the shop sells. Every price is whole tens of yuan, so that the fen of a test amount decide what goes wrong.

use serde::{Deserialize, Serialize};

pub(super) const CURRENCY: &str = "CNY";
/// So many of one good are sold in one order.
const QUANTITY_MAX: u32 = 20;

#[derive(Debug, Serialize)]
pub(super) struct Good {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) about: &'static str,
    /// Minor units.
    pub(super) price: i64,
}

pub(super) const GOODS: [Good; 8] = [
    good("tea", "Longjing tea", "Spring harvest, 100 g tin", 12_000),
    good("cup", "Celadon cup", "Hand-thrown, 180 ml", 8_000),
    good("lamp", "Paper lamp", "Warm light, folds flat", 26_000),
    good("book", "Cloth notebook", "192 pages, thread-bound", 4_000),
    good("pen", "Brass pen", "Refillable, ages well", 15_000),
    good("scarf", "Silk scarf", "Mulberry silk, 90 cm", 32_000),
    good("bell", "Bicycle bell", "Turned brass, clear tone", 7_000),
    good("bag", "Canvas bag", "Waxed cotton, 14 litres", 21_000),
];

/// What a customer asks for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Item {
    id: String,
    quantity: u32,
}

/// A line of an order, with the price that the shop charges.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Line {
    title: &'static str,
    quantity: u32,
    price: i64,
    amount: i64,
}

/// Prices a basket. `test_fen` makes the total end in a test amount of the gateway (fen 1 to 99).
pub(super) fn price(items: &[Item], test_fen: u8) -> Result<(Vec<Line>, i64), String> {
    if items.is_empty() || items.len() > GOODS.len() {
        return Err("an order has one to eight goods".to_owned());
    }
    let mut lines: Vec<Line> = Vec::with_capacity(items.len() + 1);
    for item in items {
        let good = GOODS.iter().find(|good| good.id == item.id).ok_or_else(|| format!("no such good: {}", item.id))?;
        if item.quantity == 0 || item.quantity > QUANTITY_MAX {
            return Err(format!("1 to {QUANTITY_MAX} of {} can be ordered", good.title));
        }
        if lines.iter().any(|line| line.title == good.title) {
            return Err(format!("{} stands in the order twice", good.title));
        }
        let amount = good.price * i64::from(item.quantity);
        lines.push(Line { title: good.title, quantity: item.quantity, price: good.price, amount });
    }
    if test_fen > 99 {
        return Err("a test amount is 0 to 99 fen".to_owned());
    }
    if test_fen > 0 {
        let amount = i64::from(test_fen);
        lines.push(Line { title: "Test amount", quantity: 1, price: amount, amount });
    }
    let total = lines.iter().map(|line| line.amount).sum();
    Ok((lines, total))
}

const fn good(id: &'static str, title: &'static str, about: &'static str, price: i64) -> Good {
    Good { id, title, about, price }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(id: &str, quantity: u32) -> Item {
        Item { id: id.to_owned(), quantity }
    }

    #[test]
    fn a_basket_is_priced_by_the_shop() {
        let (lines, total) = price(&[item("tea", 2), item("cup", 1)], 68).unwrap();
        assert_eq!((lines.len(), total), (3, 32_068));
        assert!(GOODS.iter().all(|good| good.price % 1000 == 0));
    }

    #[test]
    fn odd_baskets_are_refused() {
        for basket in [vec![], vec![item("tea", 0)], vec![item("tea", 21)], vec![item("x", 1)]] {
            assert!(price(&basket, 0).is_err());
        }
        assert!(price(&[item("tea", 1), item("tea", 1)], 0).is_err());
        assert!(price(&[item("tea", 1)], 100).is_err());
    }
}
