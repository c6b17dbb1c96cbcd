//! Every file in workflows/ loads without a problem, and is what the documentation says it is.

use std::path::Path;

use paystate::definition::{Library, Stage, Workflow};

const METHODS: [&str; 11] = [
    "bank_card",
    "credit_card",
    "e_cash",
    "e_cheque",
    "e_wallet",
    "online_banking",
    "refund",
    "third_party_mobile",
    "third_party_phone",
    "third_party_topup",
    "unionpay_online",
];

fn shipped() -> Vec<Workflow> {
    let library = Library::read_dir(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/workflows"))).unwrap();
    let (workflows, problems) = library.load();
    let told: Vec<String> = problems
        .iter()
        .map(|p| format!("{}:{}:{}: {}: {}{}", p.file, p.line, p.column, p.rule, p.message, help(p.help.as_deref())))
        .collect();
    assert!(told.is_empty(), "{} problems\n{}", told.len(), told.join("\n"));
    workflows
}

fn help(help: Option<&str>) -> String {
    help.map_or_else(String::new, |help| format!(" ({help})"))
}

#[test]
fn every_shipped_file_is_clean() {
    let mut names: Vec<String> = shipped().iter().map(|workflow| workflow.name.to_string()).collect();
    names.sort();
    assert_eq!(names, METHODS);
}

#[test]
fn every_method_shows_the_spine() {
    for workflow in shipped() {
        for stage in Stage::ALL {
            let shown =
                workflow.states.iter().any(|state| state.name.as_str() == stage.name() || state.stage == Some(stage));
            assert!(shown, "{} has no state at {}", workflow.name, stage.name());
        }
    }
}
