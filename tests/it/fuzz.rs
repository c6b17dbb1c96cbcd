//! Replays the seeds of the fuzz targets and every input that once broke one.

use std::fs;
use std::path::{Path, PathBuf};

#[path = "../../fuzz/src/targets/definition.rs"]
mod definition;
#[path = "../../fuzz/src/targets/expression.rs"]
mod expression;
#[path = "../../fuzz/src/targets/journal_decoder.rs"]
mod journal_decoder;

#[test]
fn definitions_are_survived() {
    replay("definition", definition::run);
}

#[test]
fn expressions_are_survived() {
    replay("expression", expression::run);
}

#[test]
fn journals_are_survived() {
    replay("journal_decoder", journal_decoder::run);
}

#[test]
fn seeds_of_records_are_records() {
    for path in files("corpus", "journal_decoder").iter().filter(|path| path.to_string_lossy().contains("record-")) {
        let record = paystate::journal::decode(&fs::read(path).unwrap());
        assert!(record.is_ok(), "{}: {record:?}", path.display());
    }
}

/// An input that breaks something is the last one that is named.
fn replay(target: &str, run: impl Fn(&[u8])) {
    let seeds = files("corpus", target);
    assert!(!seeds.is_empty(), "{target} has no seeds");
    for path in files("regressions", target).into_iter().chain(seeds) {
        println!("{}", path.display());
        run(&fs::read(&path).unwrap());
    }
}

/// The files of a target, or none where there is no folder.
fn files(kind: &str, target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(kind).join(target);
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}
