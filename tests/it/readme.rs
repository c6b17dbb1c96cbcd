//! The README is run: its files are written, its commands are called, in the order in which it has them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{Daemon, paystate, root};

pub(crate) struct Block {
    /// All that stands behind the three marks.
    pub(crate) info: String,
    pub(crate) language: String,
    pub(crate) file: Option<String>,
    pub(crate) text: String,
}

#[test]
fn the_method_of_the_readme_works() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut files = 0;
    let mut commands = 0;
    for block in blocks("README.md") {
        if let Some(file) = &block.file {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(&path, &block.text).expect("a file of the README");
            files += 1;
        }
        if block.language == "sh" && block.text.contains("my-method") {
            for line in block.text.lines().filter(|line| line.starts_with("paystate ")) {
                run(line, folder.path(), &BTreeMap::new());
                commands += 1;
            }
        }
    }
    assert_eq!((files, commands), (3, 3), "the README has three files and three commands for a method");
}

#[test]
fn the_commands_of_the_readme_work_against_a_daemon() {
    let daemon = Daemon::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let block = blocks("README.md")
        .into_iter()
        .find(|block| block.text.starts_with("paystate serve"))
        .expect("the README says how to run it");
    let mut order = String::new();
    let mut ran = Vec::new();
    for line in block.text.lines() {
        let word = line.split_whitespace().nth(1).expect("a command");
        ran.push(word.to_owned());
        match word {
            // The daemon of this test runs with these very flags, and an order that ended well has nothing to retry.
            "serve" => {}
            "sandbox" => {
                let dir = daemon.sandbox_dir().display().to_string();
                run(&line.replace("data/sandbox", &dir), folder.path(), &daemon.environment());
            }
            "retry" => {
                let output = call(&line.replace("ORDER", &order), folder.path(), &daemon.environment());
                assert_eq!(output.status.code(), Some(1), "the order has no incident, and the command says so");
            }
            "submit" => {
                let output = call(&format!("{line} --json"), folder.path(), &daemon.environment());
                assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
                let submitted: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
                assert_eq!(submitted["status"], "succeeded", "{submitted}");
                order = submitted["id"].as_str().expect("an id").to_owned();
            }
            _ => run(&line.replace("ORDER", &order), folder.path(), &daemon.environment()),
        }
    }
    assert_eq!(ran, ["serve", "sandbox", "submit", "list", "show", "journal", "retry"]);
}

#[test]
fn the_two_commands_are_the_ones_that_are_checked() {
    let shell: Vec<Block> = blocks("README.md").into_iter().filter(|block| block.language == "sh").collect();
    assert_eq!(shell[0].text.trim(), "cargo run --release --locked -- demo");
    assert_eq!(shell[1].text.trim(), "./test");
    let test = fs::read_to_string(root().join("test")).expect("the test command");
    assert!(test.contains("-- demo --exit --json"), "the test command runs the demo");
}

fn run(line: &str, folder: &Path, environment: &BTreeMap<String, String>) {
    let output = call(line, folder, environment);
    assert!(
        output.status.success(),
        "{line}\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn call(line: &str, folder: &Path, environment: &BTreeMap<String, String>) -> std::process::Output {
    Command::new("sh")
        .arg("-c")
        .arg(line.replacen("paystate", &paystate().display().to_string(), 1))
        .current_dir(folder)
        .envs(environment)
        .output()
        .expect("a shell")
}

/// The blocks of code of a document.
pub(crate) fn blocks(document: &str) -> Vec<Block> {
    let text = fs::read_to_string(root().join(document)).expect("the document");
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for line in text.lines() {
        match (line.strip_prefix("```"), open.take()) {
            (Some(info), None) => {
                let language = info.split_whitespace().next().unwrap_or_default().to_owned();
                let file = info.split_whitespace().find_map(|word| word.strip_prefix("file=")).map(str::to_owned);
                open = Some(Block { info: info.trim().to_owned(), language, file, text: String::new() });
            }
            (Some(_), Some(block)) => blocks.push(block),
            (None, Some(mut block)) => {
                block.text.push_str(line);
                block.text.push('\n');
                open = Some(block);
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a code block is not closed");
    blocks
}

#[test]
fn the_example_runs() {
    let example = paystate().parent().expect("a folder").join("examples/embed");
    let output = Command::new(&example).output().expect("`cargo test` builds the examples");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("is in state settled, charge \"ch_1\""), "{told}");
}
