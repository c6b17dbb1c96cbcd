//! The books by themselves.

use super::books::{Books, Instruction, Kind, Refusal};
use crate::types::Timestamp;

const NOON: Timestamp = Timestamp::from_unix_ms(1_767_240_000_000);
const DAY: std::time::Duration = std::time::Duration::from_secs(86_400);

fn instruction(reference: &str, kind: Kind, amount: i64) -> Instruction {
    Instruction {
        reference: reference.to_owned(),
        order: "order".to_owned(),
        kind,
        amount,
        currency: "CNY".to_owned(),
        from: Some("customer-1".to_owned()),
        to: Some("merchant-1".to_owned()),
        original: None,
        payment_order: None,
        holder: None,
        last: false,
        careless: false,
    }
}

fn about(original: &str, instruction: Instruction) -> Instruction {
    Instruction { original: Some(original.to_owned()), ..instruction }
}

fn sound(books: &Books) {
    assert!(books.totals().values().all(|total| *total == 0), "value is conserved: {:?}", books.totals());
}

#[test]
fn a_reference_is_applied_once_and_refused_for_anything_else() {
    let mut books = Books::new();
    let purchase = instruction("p", Kind::Purchase, 600);
    assert_eq!(books.apply(&purchase, NOON), Ok(()));
    assert_eq!(books.apply(&purchase, NOON), Ok(()));
    assert_eq!(books.apply(&instruction("p", Kind::Purchase, 700), NOON), Err(Refusal::ReferenceReused));
    let oracle = books.oracle("order", NOON);
    assert_eq!(oracle["purchased"], 600);
    assert_eq!(oracle["effects"][0]["applied"], 1);
    sound(&books);
}

#[test]
fn a_careless_bank_shows_the_doubling() {
    let mut books = Books::new();
    let purchase = Instruction { careless: true, ..instruction("p", Kind::Purchase, 600) };
    assert_eq!(books.apply(&purchase, NOON), Ok(()));
    assert_eq!(books.apply(&purchase, NOON), Ok(()));
    let oracle = books.oracle("order", NOON);
    assert_eq!(oracle["purchased"], 1200);
    assert_eq!(oracle["effects"][0]["applied"], 2);
}

#[test]
fn captures_never_exceed_the_hold_and_the_last_gives_the_rest_back() {
    let mut books = Books::new();
    assert_eq!(books.apply(&instruction("h", Kind::Hold, 1000), NOON), Ok(()));
    assert_eq!(books.apply(&about("h", instruction("c1", Kind::Capture, 600)), NOON), Ok(()));
    assert_eq!(books.apply(&about("h", instruction("c2", Kind::Capture, 600)), NOON), Err(Refusal::TooMuch));
    let last = Instruction { last: true, ..about("h", instruction("c3", Kind::Capture, 300)) };
    assert_eq!(books.apply(&last, NOON), Ok(()));
    let oracle = books.oracle("order", NOON);
    assert_eq!((&oracle["captured"], &oracle["released"], &oracle["held"]), (&900.into(), &100.into(), &0.into()));
    assert_eq!(books.apply(&about("h", instruction("c4", Kind::Capture, 1)), NOON), Err(Refusal::HoldOver));
    sound(&books);
}

#[test]
fn a_hold_goes_back_after_seven_days() {
    let mut books = Books::new();
    assert_eq!(books.apply(&instruction("h", Kind::Hold, 1000), NOON), Ok(()));
    let later = NOON.plus(DAY * 8);
    assert_eq!(books.apply(&about("h", instruction("c", Kind::Capture, 10)), later), Err(Refusal::HoldOver));
    assert_eq!(books.oracle("order", later)["released"], 1000);
    sound(&books);
}

#[test]
fn a_void_is_for_the_same_day_and_the_whole() {
    let mut books = Books::new();
    assert_eq!(books.apply(&instruction("p", Kind::Purchase, 600), NOON), Ok(()));
    assert_eq!(books.apply(&instruction("v1", Kind::Void, 100), NOON), Err(Refusal::NotWhole));
    assert_eq!(books.apply(&instruction("v2", Kind::Void, 600), NOON.plus(DAY)), Err(Refusal::ClearingDayOver));
    assert_eq!(books.apply(&instruction("v3", Kind::Void, 600), NOON), Ok(()));
    assert_eq!(books.apply(&instruction("r", Kind::Refund, 1), NOON), Err(Refusal::TooMuch));
    sound(&books);
}

#[test]
fn refunds_never_exceed_what_was_paid() {
    let mut books = Books::new();
    assert_eq!(books.apply(&instruction("p", Kind::Purchase, 600), NOON), Ok(()));
    assert_eq!(books.apply(&instruction("r1", Kind::Refund, 400), NOON), Ok(()));
    assert_eq!(books.apply(&instruction("r2", Kind::Refund, 201), NOON), Err(Refusal::TooMuch));
    assert_eq!(books.apply(&instruction("r3", Kind::Refund, 200), NOON), Ok(()));
    assert_eq!(books.oracle("order", NOON)["refunded"], 600);
    sound(&books);
}

#[test]
fn a_reversal_forbids_what_comes_after_it() {
    let mut books = Books::new();
    assert_eq!(books.apply(&about("p", instruction("x", Kind::Reverse, 0)), NOON), Ok(()));
    assert_eq!(books.apply(&instruction("p", Kind::Purchase, 600), NOON), Err(Refusal::Reversed));
    assert_eq!(books.oracle("order", NOON)["purchased"], 0);
    sound(&books);
}

#[test]
fn nobody_spends_what_is_not_there() {
    let mut books = Books::new();
    let poor = Instruction { from: Some("customer-poor".to_owned()), ..instruction("p", Kind::Purchase, 600) };
    assert_eq!(books.apply(&poor, NOON), Err(Refusal::InsufficientFunds));
    sound(&books);
}

#[test]
fn a_payment_that_fails_afterwards_goes_back_whole_or_not_at_all() {
    let mut books = Books::new();
    assert_eq!(books.apply(&instruction("p", Kind::Purchase, 600), NOON), Ok(()));
    let part = about("p", instruction("f1", Kind::CaptureFailure, 500));
    assert_eq!(books.apply(&part, NOON), Err(Refusal::NotWhole));
    let whole = about("p", instruction("f2", Kind::CaptureFailure, 600));
    assert_eq!(books.apply(&whole, NOON.plus(DAY)), Ok(()));
    assert_eq!(books.apply(&instruction("r", Kind::Refund, 1), NOON), Err(Refusal::TooMuch));
    assert_eq!(books.balance("merchant-1", "CNY"), 0);
    assert_eq!(books.oracle("order", NOON)["failed"], 600);

    assert_eq!(books.apply(&instruction("q", Kind::Purchase, 700), NOON), Ok(()));
    assert_eq!(books.apply(&instruction("r2", Kind::Refund, 1), NOON), Ok(()));
    let refunded = about("q", instruction("f3", Kind::CaptureFailure, 700));
    assert_eq!(books.apply(&refunded, NOON), Err(Refusal::NotWhole));
    sound(&books);
}

#[test]
fn refunds_and_chargebacks_together_never_exceed_what_was_paid() {
    let mut books = Books::new();
    assert_eq!(books.apply(&instruction("p", Kind::Purchase, 600), NOON), Ok(()));
    assert_eq!(books.apply(&instruction("r1", Kind::Refund, 200), NOON), Ok(()));
    let chargeback = about("p", instruction("c1", Kind::Chargeback, 0));
    assert_eq!(books.apply(&chargeback, NOON.plus(DAY * 30)), Ok(()));
    assert_eq!(books.amount_of(&chargeback), 400);
    assert_eq!(books.apply(&instruction("r2", Kind::Refund, 1), NOON), Err(Refusal::TooMuch));
    let again = about("p", instruction("c2", Kind::Chargeback, 0));
    assert_eq!(books.apply(&again, NOON.plus(DAY * 31)), Err(Refusal::TooMuch));
    let oracle = books.oracle("order", NOON);
    assert_eq!((&oracle["refunded"], &oracle["charged_back"]), (&200.into(), &400.into()));
    assert_eq!(books.balance("merchant-1", "CNY"), 0);
    sound(&books);
}

#[test]
fn a_refund_that_comes_back_can_be_made_again() {
    let mut books = Books::new();
    assert_eq!(books.apply(&instruction("p", Kind::Purchase, 600), NOON), Ok(()));
    assert_eq!(books.apply(&instruction("r", Kind::Refund, 600), NOON), Ok(()));
    assert_eq!(books.apply(&about("p", instruction("b1", Kind::RefundReturn, 600)), NOON), Err(Refusal::NoPayment));
    assert_eq!(books.apply(&about("r", instruction("b2", Kind::RefundReturn, 500)), NOON), Err(Refusal::NotWhole));
    assert_eq!(books.apply(&about("r", instruction("b3", Kind::RefundReturn, 600)), NOON), Ok(()));
    assert_eq!(books.apply(&about("r", instruction("b3", Kind::RefundReturn, 600)), NOON), Ok(()));
    assert_eq!(books.balance("merchant-1", "CNY"), 600);
    assert_eq!(books.apply(&instruction("r2", Kind::Refund, 600), NOON), Ok(()));
    let oracle = books.oracle("order", NOON);
    assert_eq!((&oracle["refunded"], &oracle["returned"]), (&1200.into(), &600.into()));
    sound(&books);
}

#[test]
fn a_void_that_comes_first_finds_nothing_and_forbids_the_hold() {
    let mut books = Books::new();
    assert_eq!(books.apply(&about("h", instruction("v", Kind::Release, 600)), NOON), Ok(()));
    assert_eq!(books.amount_of(&instruction("v", Kind::Release, 600)), 0);
    assert_eq!(books.apply(&instruction("h", Kind::Hold, 600), NOON), Err(Refusal::Reversed));
    assert_eq!(books.oracle("order", NOON)["held"], 0);
    // A reference that was something else than a hold is no hold.
    assert_eq!(books.apply(&instruction("p", Kind::Purchase, 600), NOON), Ok(()));
    assert_eq!(books.apply(&about("p", instruction("v2", Kind::Release, 600)), NOON), Err(Refusal::NoSuchHold));
    sound(&books);
}
