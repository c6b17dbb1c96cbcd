//! `paystate replay`: folds recorded journals again, on their own version or on a candidate.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};

use super::boot::read_one;
use super::{Verdict, doctor, output};
use crate::definition::Workflow;
use crate::executor::{Refold, read_versions};
use crate::journal;
use crate::machine::Snapshot;
use crate::store::{OrderQuery, SledOptions, SledStore, Store};
use crate::types::{OrderId, Seq};

const PAGE: usize = 500;
/// Entries of one order that are folded.
const ENTRIES_MAX: usize = 1_000_000;

/// Folds every order's journal again and compares what is decided with what was recorded. Nothing is sent.
///
/// With `--against`, orders of that workflow are folded on the candidate instead: the first entry on which it would have
/// decided differently is named, so that a change is tried on everything that ever happened before it goes live.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  paystate replay --data data --against workflows/bank_card.yaml")]
pub(super) struct Args {
    /// The data of a daemon that is not running.
    #[arg(long, default_value = "data")]
    data: PathBuf,
    /// Only this order.
    #[arg(long)]
    order: Option<OrderId>,
    /// A candidate for the workflow that it names.
    #[arg(long)]
    against: Option<PathBuf>,
    /// Print one JSON object for each order.
    #[arg(long)]
    json: bool,
}

#[derive(Default)]
struct Sums {
    same: usize,
    diverged: usize,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<Verdict> {
    // The store would make what it does not find.
    if !journal::Journal::is_in(&args.data) {
        bail!("there are no orders in {}: no daemon has used it with --data", args.data.display());
    }
    let candidate = args.against.as_deref().map(read_one).transpose()?;
    let opened = SledStore::open(&args.data, SledOptions::default(), Arc::new(Refold::default()));
    let store = doctor::opened(&args.data, opened)?;
    let versions = read_versions(&store).await?;
    let mut sums = Sums::default();
    let mut archived = if args.order.is_some() { Vec::new() } else { store.archived()? };
    let one = |order: &Snapshot| candidate.as_ref().is_none_or(|candidate| candidate.name == order.workflow);
    let mut query = OrderQuery { limit: PAGE, ..OrderQuery::default() };
    loop {
        let mut page: Vec<Arc<Snapshot>> = match args.order {
            Some(id) => store.order(id).await?.map(|stored| stored.snapshot).into_iter().collect(),
            None => store.list(&query).await?,
        };
        let listed = page.last().map(|last| last.id);
        if args.order.is_none() && page.is_empty() {
            // Lists do not show these, unless they came alive again.
            let next = archived.split_off(archived.len().saturating_sub(PAGE));
            for id in next {
                page.extend(store.order(id).await?.map(|stored| stored.snapshot));
            }
        }
        for order in page.iter().filter(|order| one(order)) {
            let own = versions.version(&order.version);
            let workflow = candidate.clone().or(own).context("an order's version is not in the journal")?;
            let entries = store.journal(order.id, Seq(0), ENTRIES_MAX).await?;
            tell(order, &workflow, &entries, args.json, &mut sums);
        }
        match (args.order, listed, page.is_empty()) {
            (None, Some(last), _) => query.after = Some(last),
            (None, None, false) => {}
            (Some(id), _, true) => bail!("there is no order {id}"),
            _ => break,
        }
    }
    store.close().await?;
    if !args.json {
        output::out(&format!("{} orders replay the same, {} diverge\n", sums.same, sums.diverged));
    }
    Ok(if sums.diverged == 0 { Verdict::Yes } else { Verdict::No })
}

fn tell(order: &Snapshot, workflow: &Workflow, entries: &[journal::Entry], json: bool, sums: &mut Sums) {
    let replayed = journal::replay(workflow, entries);
    // On its own version an order must also come out as it is stored, not only decide the same on the way.
    let own = workflow.version == order.version;
    let problem = match &replayed {
        Ok(snapshot) if own && snapshot != order => Some("the stored order is not the fold of its journal".to_owned()),
        Ok(_) => None,
        Err(divergence) => Some(divergence.to_string()),
    };
    if problem.is_none() {
        sums.same += 1
    } else {
        sums.diverged += 1
    }
    if json {
        let line = serde_json::json!({
            "order": order.id.to_string(), "workflow": order.workflow, "version": workflow.version,
            "entries": entries.len(), "same": problem.is_none(), "divergence": problem,
        });
        output::json(&line);
    } else if let Some(problem) = problem {
        output::out(&format!("{}  {}  {problem}\n", order.id, order.workflow));
    }
}
