//! How each kind of instruction moves money between the accounts.

use std::time::Duration;

use super::accounts::HOLDS;
use super::books::{Books, Hold, Instruction, Moved, Refusal};
use crate::types::Timestamp;

/// How long a hold lives: the seven days of the card schemes.
const HOLD_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

impl Books {
    pub(super) fn hold(&mut self, i: &Instruction, now: Timestamp) -> Result<(), Refusal> {
        let account = self.payer(i.from.as_ref(), i.amount, &i.currency)?;
        let to = self.payee(i.to.as_ref())?;
        self.post(&account, HOLDS, i.amount, &i.currency);
        let hold = Hold {
            order: i.order.clone(),
            account,
            to,
            currency: i.currency.clone(),
            left: i.amount,
            expires: now.plus(HOLD_LIFE),
        };
        self.holds.insert(i.reference.clone(), hold);
        self.holds_of.entry(i.order.clone()).or_default().push(i.reference.clone());
        self.note("hold", i, i.amount, &i.currency, &i.order);
        Ok(())
    }

    pub(super) fn capture(&mut self, i: &Instruction, now: Timestamp) -> Result<(), Refusal> {
        let reference = i.original.as_ref().ok_or(Refusal::NoSuchHold)?;
        self.expire_hold(reference, now);
        let hold = self.holds.get_mut(reference).ok_or(Refusal::NoSuchHold)?;
        if hold.left == 0 {
            return Err(Refusal::HoldOver);
        }
        if i.amount > hold.left || i.currency != hold.currency {
            return Err(Refusal::TooMuch);
        }
        hold.left -= i.amount;
        let rest = if i.last { std::mem::take(&mut hold.left) } else { 0 };
        let hold = hold.clone();
        self.post(HOLDS, "acquirer", i.amount, &i.currency);
        self.settle("capture", i, &hold.account, &hold.to, now);
        self.note("capture", i, i.amount, &i.currency, &hold.order);
        if rest > 0 {
            self.post(HOLDS, &hold.account, rest, &hold.currency);
            self.note("release", i, rest, &hold.currency, &hold.order);
        }
        Ok(())
    }

    pub(super) fn release(&mut self, i: &Instruction) -> Result<(), Refusal> {
        let reference = i.original.as_ref().ok_or(Refusal::NoSuchHold)?;
        // Nothing is found because nothing has come yet: the void is done, and the hold is refused when it comes.
        if !self.seen.contains_key(reference) {
            self.tombstones.insert(reference.clone(), i.reference.clone());
            return Ok(());
        }
        let hold = self.holds.get_mut(reference).ok_or(Refusal::NoSuchHold)?;
        let left = std::mem::take(&mut hold.left);
        if left == 0 {
            return Err(Refusal::HoldOver);
        }
        let hold = hold.clone();
        self.post(HOLDS, &hold.account, left, &hold.currency);
        self.note("release", i, left, &hold.currency, &hold.order);
        Ok(())
    }

    pub(super) fn purchase(&mut self, i: &Instruction, now: Timestamp) -> Result<(), Refusal> {
        let from = self.payer(i.from.as_ref(), i.amount, &i.currency)?;
        let to = self.payee(i.to.as_ref())?;
        self.post(&from, "acquirer", i.amount, &i.currency);
        self.settle("purchase", i, &from, &to, now);
        self.note("purchase", i, i.amount, &i.currency, &i.order);
        Ok(())
    }

    /// The second half of a payment: from the acquirer to whom it is for.
    fn settle(&mut self, kind: &'static str, i: &Instruction, from: &str, to: &str, at: Timestamp) {
        self.post("acquirer", to, i.amount, &i.currency);
        self.clear(kind, i, to, i.amount, &i.currency);
        let moved = Moved {
            order: i.order.clone(),
            from: i.holder.clone().unwrap_or_else(|| from.to_owned()),
            to: to.to_owned(),
            currency: i.currency.clone(),
            amount: i.amount,
            returned: 0,
            at,
        };
        self.moved.insert(i.reference.clone(), moved);
        self.payments.entry(i.order.clone()).or_default().push(i.reference.clone());
    }

    pub(super) fn void(&mut self, i: &Instruction, now: Timestamp) -> Result<(), Refusal> {
        let order = i.payment_order.as_ref().unwrap_or(&i.order).clone();
        let references = self.payments.get(&order).cloned().unwrap_or_default();
        let moved: Vec<Moved> = references.iter().filter_map(|reference| self.moved.get(reference).cloned()).collect();
        let whole: i64 = moved.iter().map(|moved| moved.amount).sum();
        if whole == 0 {
            return Err(Refusal::NoPayment);
        }
        if moved.iter().any(|moved| moved.returned > 0) || (i.amount != 0 && i.amount != whole) {
            return Err(Refusal::NotWhole);
        }
        if moved.iter().any(|moved| !Self::is_same_clearing_day(moved, now)) {
            return Err(Refusal::ClearingDayOver);
        }
        let currency = moved.first().map(|moved| moved.currency.clone()).unwrap_or_default();
        // An order of its own that undoes a payment is a refund of it, on whichever day.
        let kind = if i.order == order { "void" } else { "refund" };
        for reference in &references {
            self.give_back(kind, i, reference, i64::MAX);
        }
        self.note(kind, i, whole, &currency, &order);
        Ok(())
    }

    pub(super) fn refund(&mut self, i: &Instruction) -> Result<(), Refusal> {
        let order = i.payment_order.as_ref().unwrap_or(&i.order).clone();
        let references = self.payments.get(&order).cloned().unwrap_or_default();
        let moved: Vec<&Moved> = references.iter().filter_map(|reference| self.moved.get(reference)).collect();
        let Some(first) = moved.first() else { return Err(Refusal::NoPayment) };
        let left: i64 = moved.iter().map(|moved| moved.amount - moved.returned).sum();
        if i.amount > left || first.currency != i.currency {
            return Err(Refusal::TooMuch);
        }
        self.payee(Some(&first.from.clone()))?;
        let mut rest = i.amount;
        for reference in &references {
            rest -= self.give_back("refund", i, reference, rest);
        }
        debug_assert_eq!(rest, 0, "what is left was counted first");
        self.note("refund", i, i.amount, &i.currency, &order);
        Ok(())
    }

    /// Gives back up to `most` of one payment to where it came from; says how much.
    pub(super) fn give_back(&mut self, kind: &'static str, i: &Instruction, reference: &str, most: i64) -> i64 {
        let Some(moved) = self.moved.get_mut(reference) else { return 0 };
        let amount = (moved.amount - moved.returned).min(most);
        if amount <= 0 {
            return 0;
        }
        moved.returned += amount;
        let moved = moved.clone();
        self.post(&moved.to, &moved.from, amount, &moved.currency);
        self.clear(kind, i, &moved.to, -amount, &moved.currency);
        amount
    }

    pub(super) fn transfer(&mut self, i: &Instruction) -> Result<(), Refusal> {
        let from = self.payer(i.from.as_ref(), i.amount, &i.currency)?;
        let to = self.payee(i.to.as_ref())?;
        self.post(&from, &to, i.amount, &i.currency);
        self.note("transfer", i, i.amount, &i.currency, &i.order);
        Ok(())
    }

    /// Undoes one reference, and forbids it: one that never came cannot land after its own reversal.
    pub(super) fn reverse(&mut self, i: &Instruction) -> Result<(), Refusal> {
        let original = i.original.clone().ok_or(Refusal::NoPayment)?;
        if let Some(hold) = self.holds.get_mut(&original) {
            let left = std::mem::take(&mut hold.left);
            let hold = hold.clone();
            if left > 0 {
                self.post(HOLDS, &hold.account, left, &hold.currency);
                self.note("reverse", i, left, &hold.currency, &hold.order);
            }
        } else if let Some(moved) = self.moved.get(&original).cloned() {
            let back = self.give_back("reverse", i, &original, i64::MAX);
            if back > 0 {
                self.note("reverse", i, back, &moved.currency, &moved.order);
            }
        }
        self.tombstones.insert(original, i.reference.clone());
        Ok(())
    }
}
