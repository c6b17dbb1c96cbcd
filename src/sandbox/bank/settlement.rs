//! The settlement file: what was cleared for the merchant on one day, a line for each movement, with the bank's fee.
//!
//! The file is what a merchant compares with its own books. On demand it is wrong, as the files of real banks are.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::accounts::MERCHANT;
use super::books::{Books, Instruction};
use crate::sandbox::clock::{ClearingDay, clearing_day};

/// One movement to the merchant, or from it.
#[derive(Clone, Debug)]
pub(super) struct Cleared {
    day: ClearingDay,
    order: String,
    reference: String,
    kind: &'static str,
    /// Below zero where money left the merchant.
    gross: i64,
    currency: String,
}

/// How the file is wrong about a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Misreport {
    /// Its line is missing.
    Missing,
    /// There is a second line, of a reference that nobody knows.
    Extra,
    /// The fee is another one than was agreed.
    Fee,
}

const HEADER: &str = "order,reference,kind,gross,fee,net,currency,clearing_date\n";

impl Books {
    /// Notes a movement for the settlement file. Accounts other than the merchant's are settled elsewhere.
    pub(super) fn clear(&mut self, kind: &'static str, i: &Instruction, account: &str, gross: i64, currency: &str) {
        if account != MERCHANT {
            return;
        }
        self.cleared.push(Cleared {
            day: clearing_day(self.at),
            order: i.order.clone(),
            reference: i.reference.clone(),
            kind,
            gross,
            currency: currency.to_owned(),
        });
    }

    pub(super) fn misreport(&mut self, reference: String, misreport: Misreport) {
        self.misreports.insert(reference, misreport);
    }

    /// The file of one day, as CSV.
    pub(super) fn settlement(&self, day: ClearingDay) -> String {
        let mut file = HEADER.to_owned();
        for cleared in self.cleared.iter().filter(|cleared| cleared.day == day) {
            let fee = fee(cleared);
            match self.misreports.get(&cleared.reference) {
                None => line(&mut file, cleared, &cleared.reference, fee),
                Some(Misreport::Missing) => {}
                Some(Misreport::Extra) => {
                    line(&mut file, cleared, &cleared.reference, fee);
                    line(&mut file, cleared, &format!("{}-extra", cleared.reference), fee);
                }
                Some(Misreport::Fee) => line(&mut file, cleared, &cleared.reference, 2 * fee + 1),
            }
        }
        file
    }
}

/// Six per mille of a payment, rounded to the nearest minor unit; what goes back costs nothing and brings nothing back.
fn fee(cleared: &Cleared) -> i64 {
    match cleared.kind {
        "purchase" | "capture" => (cleared.gross * 6 + 500) / 1000,
        _ => 0,
    }
}

fn line(file: &mut String, cleared: &Cleared, reference: &str, fee: i64) {
    let Cleared { day, order, kind, gross, currency, .. } = cleared;
    let (order, reference, net, date) = (field(order), field(reference), gross - fee, day.date());
    // Writing to a String cannot fail.
    let _ = writeln!(file, "{order},{reference},{kind},{gross},{fee},{net},{currency},{date}");
}

/// A field as RFC 4180 has it: quoted where it must be.
fn field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}
