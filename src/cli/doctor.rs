//! `paystate doctor`: looks a data directory over, and repairs it.

use std::path::{Path, PathBuf};

use super::boot::read_workflows;
use super::{Verdict, output};
use crate::executor::Refold;
use crate::journal::{Finding, Remedy};
use crate::store::{Checkup, CheckupOptions, SledOptions, StoreError, checkup};

/// Look for damage in the data of a daemon that is not running, and repair it.
///
/// Every record of the journal is checked, and whether the working store is what the journal says. Without --repair
/// nothing is changed. If there is damage that only a backup helps against, --repair changes nothing either.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  paystate doctor --data data\n  paystate doctor --data data --repair --from /backup/data\n\n\
    Exit codes: 0 nothing was found or all of it is repaired, 1 something is left, 2 could not run."
)]
pub(super) struct Args {
    /// Where the orders are kept.
    #[arg(long, default_value = "data")]
    data: PathBuf,
    /// Repair it; what is overwritten is kept in `journal.aside`, what is replaced in `sled.aside`.
    #[arg(long)]
    repair: bool,
    /// A backup to take segments of the journal from that are damaged here.
    #[arg(long, value_name = "BACKUP")]
    from: Option<PathBuf>,
    /// A folder of workflows: their texts stand in for those that the journal has lost, if they are the same.
    #[arg(long, value_name = "FOLDER")]
    workflows: Option<PathBuf>,
    /// Print one JSON object for each thing that was found, and one at the end.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Verdict> {
    let options = CheckupOptions { repair: args.repair, backup: args.from.clone(), store: SledOptions::default() };
    let known = args.workflows.as_deref().map(read_workflows).transpose()?.unwrap_or_default();
    let found = checkup(&args.data, &options, &Refold::knowing(known.into_values()))?;
    for finding in &found.findings {
        if args.json { json_line(finding, &found) } else { line(finding, &found) }
    }
    for note in &found.orders {
        if args.json {
            output::json(&serde_json::json!({ "order": note.order.to_string(), "note": note.note }));
        } else {
            output::out(&format!("order {}: {}\n", note.order, note.note));
        }
    }
    let is_well = found.findings.is_empty() || found.repaired;
    if args.json {
        output::json(&serde_json::json!({
            "records": found.records, "lost": found.lost, "findings": found.findings.len(),
            "repaired": found.repaired, "well": is_well,
        }));
    } else {
        output::out(&closing(args, &found));
    }
    Ok(if is_well { Verdict::Yes } else { Verdict::No })
}

/// Adds to an error of the store what a person can do about it.
pub(super) fn opened<T>(data: &Path, result: Result<T, StoreError>) -> anyhow::Result<T> {
    match result {
        Err(error @ (StoreError::Damaged(_) | StoreError::Read { .. })) => {
            let data = data.display();
            Err(anyhow::anyhow!("{error}; run `paystate doctor --data {data}` to see what is damaged"))
        }
        Err(error @ StoreError::Closed { .. }) => Err(anyhow::anyhow!("{error}; name another folder with --data")),
        result => Ok(result?),
    }
}

fn line(finding: &Finding, found: &Checkup) {
    let touches: Vec<String> = finding.orders.iter().map(ToString::to_string).collect();
    let touches = if touches.is_empty() { String::new() } else { format!("; it touches order {}", touches.join(", ")) };
    let text = format!("{finding}{touches}\n  {}: {}", done(&finding.remedy, found), finding.remedy.text());
    output::out(&format!("{}\n", output::lines(&text)));
}

fn json_line(finding: &Finding, found: &Checkup) {
    let orders: Vec<String> = finding.orders.iter().map(ToString::to_string).collect();
    let (first, last) = finding.records.unzip();
    output::json(&serde_json::json!({
        "file": finding.file, "offset": finding.offset, "first_record": first, "last_record": last,
        "what": finding.what, "orders": orders, "status": done(&finding.remedy, found), "remedy": finding.remedy.text(),
    }));
}

fn done(remedy: &Remedy, found: &Checkup) -> &'static str {
    match remedy {
        Remedy::Person(_) => "not repaired",
        Remedy::Whole(_) | Remedy::Bridge(_) if found.repaired => "repaired",
        Remedy::Whole(_) => "with --repair",
        Remedy::Bridge(_) => "with --repair, and lost",
    }
}

fn closing(args: &Args, found: &Checkup) -> String {
    let records = found.records;
    let lost = match found.lost {
        0 => String::new(),
        1 => ", 1 of which is lost: balances may be off by what it booked".to_owned(),
        lost => format!(", {lost} of which are lost: balances may be off by what they booked"),
    };
    let person = found.findings.iter().any(|finding| matches!(finding.remedy, Remedy::Person(_)));
    let end = match found.findings.len() {
        0 => "nothing is damaged".to_owned(),
        _ if found.repaired => "all of it is repaired".to_owned(),
        _ if person => "not everything can be repaired, so nothing was changed".to_owned(),
        _ => format!("`paystate doctor --data {} --repair` repairs it", args.data.display()),
    };
    format!("{records} records{lost}; {end}\n")
}
