use std::path::PathBuf;

use anyhow::Context;

use super::Verdict;
use super::client::{Client, Connection};
use super::output;
use crate::api::wire::{Entry, JournalPage};
use crate::types::{Timestamp, Value, format_duration};

/// Show everything that ever happened to an order.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  paystate journal 019ab1c2-7d4e-7000-8000-0242ac120002\n  \
    paystate journal 019ab1c2-7d4e-7000-8000-0242ac120002 --record recorded/lost_answer.jsonl")]
pub(super) struct Args {
    /// The order's id.
    order: String,
    /// Write it into this file as a recorded journal, with its workflow's text: `paystate test FILE` replays it.
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    record: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
}

pub(super) async fn run(args: Args) -> anyhow::Result<Verdict> {
    let client = Client::new(&args.connection)?;
    if let Some(file) = &args.record {
        let text = client.get_text(&format!("v1/orders/{}/recording", args.order)).await?;
        std::fs::write(file, &text).with_context(|| format!("cannot write {}", file.display()))?;
        output::err(&format!("{} lines in {}\n", text.lines().count(), file.display()));
        return Ok(Verdict::Yes);
    }
    let path = format!("v1/orders/{}/journal", args.order);
    let mut rows = Vec::new();
    let mut after = 0;
    let mut begin = None;
    loop {
        let value = client.get(&path, &[("after", after.to_string()), ("limit", "500".to_owned())]).await?;
        if args.connection.json {
            value["entries"].as_array().into_iter().flatten().for_each(output::json);
        }
        let page: JournalPage = client.read::<JournalPage>(Value::clone(&value))?;
        for entry in &page.entries {
            rows.push(row(entry, *begin.get_or_insert(entry.at)));
        }
        match page.next {
            Some(next) if next > after => after = next,
            _ => break,
        }
    }
    if args.connection.json {
        return Ok(Verdict::Yes);
    }
    if let Some(begin) = begin {
        output::out(&format!("submitted {}\n\n", output::time(begin)));
    }
    output::out(&output::table(&["seq", "after", "event", "state"], &[0], &rows));
    Ok(Verdict::Yes)
}

fn row(entry: &Entry, begin: Timestamp) -> output::Row {
    let said = ["by", "note", "reason"].iter().filter_map(|name| entry.event.get(name).and_then(Value::as_str));
    let note: Vec<String> = said.skip(1).filter(|text| !text.is_empty()).map(output::line).collect();
    let note = if note.is_empty() { String::new() } else { format!("\n{}", note.join(" ")) };
    let state = match &entry.from {
        Some(from) if *from == entry.to => String::new(),
        _ => output::line(&entry.to),
    };
    let cells = vec![
        entry.seq.to_string(),
        format!("+{}", format_duration(entry.at.since(begin))),
        format!("{}{note}", output::line(&entry.summary)),
        if state.is_empty() { String::new() } else { format!("-> {state}") },
    ];
    output::Row { cells, below: String::new() }
}
