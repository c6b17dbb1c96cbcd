//! What becomes of a payment or a refund long after it was done, without anybody at the merchant's asking for it.
//!
//! **Invariant.** What is refunded and what is charged back of a payment come out of the same sum, so together they are
//! never more than what was paid.

use super::books::{Books, Instruction, Kind, Moved, Refusal};

impl Books {
    /// A payment fails after it had been confirmed: all of it goes back to where it came from.
    pub(super) fn capture_failure(&mut self, i: &Instruction) -> Result<(), Refusal> {
        let (reference, moved) = self.original(i)?;
        if moved.returned > 0 || i.amount != moved.amount {
            return Err(Refusal::NotWhole);
        }
        self.give_back("capture_failure", i, &reference, i64::MAX);
        self.note("capture_failure", i, moved.amount, &moved.currency, &moved.order);
        Ok(())
    }

    /// The customer's bank takes back what is left of a payment.
    pub(super) fn chargeback(&mut self, i: &Instruction) -> Result<(), Refusal> {
        let (reference, moved) = self.original(i)?;
        let left = moved.amount - moved.returned;
        if left <= 0 {
            return Err(Refusal::TooMuch);
        }
        self.give_back("chargeback", i, &reference, left);
        self.note("chargeback", i, left, &moved.currency, &moved.order);
        Ok(())
    }

    /// A refund comes back: the merchant has the money again, and may refund it another time.
    pub(super) fn refund_return(&mut self, i: &Instruction) -> Result<(), Refusal> {
        let refund = i.original.as_ref().and_then(|reference| self.seen.get(reference)).ok_or(Refusal::NoPayment)?;
        let asked = refund.instruction.clone();
        if asked.kind != Kind::Refund || refund.result.is_err() {
            return Err(Refusal::NoPayment);
        }
        if i.amount != asked.amount {
            return Err(Refusal::NotWhole);
        }
        let order = asked.payment_order.unwrap_or(asked.order);
        let mut rest = i.amount;
        for reference in self.payments.get(&order).cloned().unwrap_or_default() {
            rest -= self.take_again(i, &reference, rest);
        }
        debug_assert_eq!(rest, 0, "what was refunded can be taken again");
        self.note("refund_return", i, i.amount, &i.currency, &order);
        Ok(())
    }

    /// The payment that an instruction is about.
    fn original(&self, i: &Instruction) -> Result<(String, Moved), Refusal> {
        let reference = i.original.clone().ok_or(Refusal::NoPayment)?;
        let moved = self.moved.get(&reference).cloned().ok_or(Refusal::NoPayment)?;
        Ok((reference, moved))
    }

    /// Takes up to `most` of what one payment gave back to its payee again; says how much.
    fn take_again(&mut self, i: &Instruction, reference: &str, most: i64) -> i64 {
        let Some(moved) = self.moved.get_mut(reference) else { return 0 };
        let amount = moved.returned.min(most);
        if amount <= 0 {
            return 0;
        }
        moved.returned -= amount;
        let moved = moved.clone();
        self.post(&moved.from, &moved.to, amount, &moved.currency);
        self.clear("refund_return", i, &moved.to, amount, &moved.currency);
        amount
    }
}
