//! The stories: the scenarios of the shipped methods, and a few with orders that open others.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use paystate::definition::{Library, Sources, Workflow, load, read_data};
use paystate::journal::Entry;
use paystate::machine::{Event, Walked};
use paystate::sim::{Endings, run, suite};
use paystate::types::WorkflowName;

use crate::root;
use crate::story::Story;

const SHIPPED: &str = "tests/scenarios";
const OWN: &str = "tests/crash_points/stories";

type Workflows = BTreeMap<WorkflowName, Arc<Workflow>>;

/// Reads stories; workflows are read once.
#[derive(Default)]
pub struct Tales {
    shipped: Mutex<Workflows>,
}

/// Of all stories, in an order that is always the same, as they are called from the tests' folder.
pub fn names() -> Vec<String> {
    let find = |folder: &str| suite::find(&[root().join(folder)]).expect("the stories are there");
    let own = find(OWN).into_iter().filter(|path| !path.starts_with(root().join(OWN).join("workflows")));
    let all = find(SHIPPED).into_iter().chain(own);
    let name = |path: PathBuf| path.strip_prefix(root().join("tests")).expect("below the tests").display().to_string();
    all.map(name).collect()
}

impl Tales {
    pub fn story(&self, name: &str) -> Story {
        let path = root().join("tests").join(name);
        if !path.starts_with(root().join(SHIPPED)) {
            return own(name, &path);
        }
        let workflows = self.workflow_of(&path);
        let scenario = suite::read_scenario(&path, &workflows).unwrap_or_else(|wrong| panic!("{name}: {wrong:#?}"));
        let workflow = &workflows[&scenario.workflow];
        let report = run(&scenario, workflow);
        let endings = Endings::of(&scenario, workflow, &report).expect("the story begins");
        let (workflows, simulated) = (vec![Arc::clone(workflow)], Some((report.entries, endings)));
        Story { name: name.to_owned(), scenario, workflows, limits: None, simulated }
    }

    /// Stories which together have every kind of entry and of transition that any story has.
    pub fn of_every_kind(&self) -> BTreeSet<String> {
        let kinds = |name: &String| {
            let path = root().join("tests").join(name);
            let workflows = self.workflow_of(&path);
            let scenario = suite::read_scenario(&path, &workflows).unwrap_or_else(|wrong| panic!("{wrong:#?}"));
            let report = run(&scenario, &workflows[&scenario.workflow]);
            let entries: BTreeSet<String> = report.entries.iter().map(kind_of_entry).collect();
            let transitions = report.walked.iter().map(kind_of_transition);
            (name.clone(), report.entries.len(), transitions.chain(entries).collect::<BTreeSet<String>>())
        };
        let (shipped, own): (Vec<String>, Vec<String>) =
            names().into_iter().partition(|name| root().join("tests").join(name).starts_with(root().join(SHIPPED)));
        let all: Vec<(String, usize, BTreeSet<String>)> = shipped.iter().map(kinds).collect();
        let mut missing: BTreeSet<String> = all.iter().flat_map(|(_, _, kinds)| kinds.iter().cloned()).collect();
        let mut chosen: BTreeSet<String> = own.into_iter().collect();
        while !missing.is_empty() {
            // The one that has most of what is missing for its length.
            let worth = |kinds: &BTreeSet<String>, length: usize| kinds.intersection(&missing).count() * 1000 / length;
            let best = all.iter().max_by_key(|(_, length, kinds)| worth(kinds, *length)).expect("there are stories");
            missing.retain(|kind| !best.2.contains(kind));
            chosen.insert(best.0.clone());
        }
        chosen
    }

    /// The workflow that a folder of scenarios is called after.
    fn workflow_of(&self, path: &Path) -> Workflows {
        let folder = path.parent().and_then(Path::file_name).and_then(|name| name.to_str()).expect("a folder");
        let name = WorkflowName::from(folder);
        let mut read = self.shipped.lock().expect("nobody panics with it");
        let workflow = read.entry(name.clone()).or_insert_with(|| {
            let file = root().join("workflows").join(folder).with_extension("yaml");
            loaded(Library::read_file(&file).expect("the workflow is readable"))
        });
        Workflows::from([(name, Arc::clone(workflow))])
    }
}

fn own(name: &str, path: &Path) -> Story {
    let library = Library::read_dir(&root().join(OWN).join("workflows")).expect("the workflows are readable");
    let workflows = library.workflows.into_iter().map(loaded);
    let workflows: Workflows = workflows.map(|workflow| (workflow.name.clone(), workflow)).collect();
    let scenario = suite::read_scenario(path, &workflows).unwrap_or_else(|wrong| panic!("{name}: {wrong:#?}"));
    let file = root().join("workflows/data/payment_account_limits.yaml");
    let limits = read_data("the limits", &fs::read_to_string(file).expect("the limits are there"));
    let limits = Some(Arc::new(limits.unwrap_or_else(|wrong| panic!("{wrong}"))));
    Story { name: name.to_owned(), scenario, workflows: workflows.into_values().collect(), limits, simulated: None }
}

fn loaded(sources: Sources) -> Arc<Workflow> {
    Arc::new(load(sources).unwrap_or_else(|problems| panic!("{problems:#?}")))
}

/// What happened, and how it was answered: `settled ok`, `timer_fired deadline`.
pub fn kind_of_entry(entry: &Entry) -> String {
    let detail = match &entry.event {
        Event::Settled { outcome, .. } | Event::Inquired { outcome, .. } => serde_json::json!(outcome),
        Event::TimerFired { timer } => serde_json::json!(timer),
        Event::Resolved { resolution, .. } => serde_json::json!(resolution),
        _ => serde_json::Value::Null,
    };
    let name = |value: &serde_json::Value| match value {
        serde_json::Value::String(name) => name.clone(),
        serde_json::Value::Object(fields) => {
            let named = ["type", "as", "outcome", "timer"].iter().find_map(|key| fields.get(*key)?.as_str());
            named.map_or_else(|| fields.keys().next().cloned().unwrap_or_default(), str::to_owned)
        }
        _ => String::new(),
    };
    format!("{} {}", name(&serde_json::json!(&entry.event)), name(&detail))
}

/// `ok`, `after`, `late`, or an event, whatever its name.
fn kind_of_transition(walked: &Walked) -> String {
    let word = walked.trigger.split(' ').next().unwrap_or_default();
    if word.contains('.') { "by an event".to_owned() } else { format!("by {word}") }
}
