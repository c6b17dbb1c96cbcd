//! The house rules that a compiler does not know: arrows between rooms, one door per library, the size of files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Each room, and the rooms that it may use. The order is the one of docs/architecture.md.
const ROOMS: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("ledger", &["types"]),
    ("definition", &["types", "ledger"]),
    ("machine", &["definition", "ledger", "types"]),
    ("journal", &["machine", "definition", "ledger", "types"]),
    ("store", &["journal", "ledger", "machine", "definition", "types"]),
    ("connector", &["machine", "definition", "types"]),
    ("executor", &["store", "connector", "journal", "ledger", "machine", "definition", "types"]),
    ("sim", &["executor", "store", "connector", "journal", "ledger", "machine", "definition", "types"]),
    ("sandbox", &["types"]),
    ("api", &["executor", "store", "connector", "journal", "ledger", "machine", "definition", "types"]),
    (
        "cli",
        &[
            "api",
            "sandbox",
            "sim",
            "executor",
            "store",
            "connector",
            "journal",
            "ledger",
            "machine",
            "definition",
            "types",
        ],
    ),
];

/// Each library that has one door, and the paths that are it.
const DOORS: &[(&str, &[&str])] = &[
    ("serde_yaml", &["src/definition/"]),
    ("saphyr_parser", &["src/definition/"]),
    ("cel", &["src/definition/expr/engine/"]),
    ("boon", &["src/definition/schema.rs"]),
    ("sled", &["src/store/sled/"]),
    ("axum", &["src/api/", "src/sandbox/"]),
    ("clap", &["src/cli/"]),
    ("reqwest", &["src/connector/http/", "src/sandbox/", "src/cli/client.rs"]),
    ("uuid", &["src/types/id.rs", "src/executor/clock.rs"]),
    ("quick_xml", &["src/connector/payload/"]),
    ("webpki", &["src/connector/crypto/"]),
    ("dagre", &["src/definition/graph/", "src/definition/graph.rs"]),
    ("fail", &["src/fault.rs"]),
];

/// What only the clock's file may name.
const CLOCK: &[&str] = &["SystemTime::now", "Instant::now", "tokio::time::sleep(", "thread::sleep("];
const CLOCK_DOORS: &[&str] =
    // Deadlines of requests, waits for a disk, and figures of the bench are no part of what is decided.
    &[
        "src/executor/clock.rs",
        "src/sandbox/clock.rs",
        "src/connector/",
        "src/journal/",
        "src/store/",
        "src/cli/bench/",
    ];

#[test]
fn arrows_point_one_way() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let Some(room) = path.strip_prefix("src/").and_then(|rest| rest.split('/').next()) else { continue };
        let Some((_, may)) = ROOMS.iter().find(|(name, _)| *name == room) else { continue };
        for (number, line) in code_lines(&text) {
            for (other, _) in ROOMS.iter().filter(|(other, _)| *other != room && !may.contains(other)) {
                if line.contains(&format!("crate::{other}::")) || line.contains(&format!("crate::{{{other}")) {
                    wrong.push(format!("{path}:{number}: {room} must not use {other}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that run the wrong way:\n{}", wrong.join("\n"));
}

#[test]
fn every_library_has_one_door() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        for (number, line) in code_lines(&text) {
            for (library, doors) in DOORS {
                let names = line.contains(&format!("{library}::")) && !line.contains(&format!("::{library}::"));
                let word = names && !is_inside_a_word(line, library);
                if word && !doors.iter().any(|door| path.starts_with(door)) {
                    wrong.push(format!("{path}:{number}: {library} is used outside its door"));
                }
            }
            for call in CLOCK {
                if line.contains(call) && !CLOCK_DOORS.iter().any(|door| path.starts_with(door)) {
                    wrong.push(format!("{path}:{number}: {call} outside the clock's file"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "second doors:\n{}", wrong.join("\n"));
}

/// Fault points are for tests/crash_points: what is shipped has none.
#[test]
fn the_daemon_has_no_fault_points() {
    let has = |text: &str| {
        let found = Command::new("grep").args(["-qaF", text]).arg(crate::support::paystate()).status();
        found.expect("grep runs").success()
    };
    assert!(has("the journal could not be written"), "texts of the program are found in it");
    for name in ["executor::after-commit", "store::after-journal", "behind::before-row"] {
        assert_eq!(has(name), cfg!(feature = "failpoints"), "{name}");
    }
}

#[test]
fn files_are_small() {
    let mut sizes: Vec<(usize, String)> =
        sources().into_iter().map(|(path, text)| (text.lines().count(), path)).collect();
    sizes.sort();
    let over: Vec<String> =
        sizes.iter().filter(|(lines, _)| *lines > 500).map(|(lines, path)| format!("{path}: {lines}")).collect();
    assert!(over.is_empty(), "files over 500 lines:\n{}", over.join("\n"));
}

#[test]
fn every_room_says_what_it_is_for() {
    for (room, _) in ROOMS {
        let path = format!("src/{room}/mod.rs");
        let text = fs::read_to_string(root().join(&path)).expect(&path);
        assert!(text.starts_with("//! "), "{path} has no module documentation");
    }
}

fn is_inside_a_word(line: &str, library: &str) -> bool {
    let Some(at) = line.find(&format!("{library}::")) else { return false };
    line[..at].chars().next_back().is_some_and(|before| before.is_alphanumeric() || before == '_')
}

/// Lines that are not comments, with their numbers.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines()).filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    collect(&root().join("src"), &mut found);
    assert!(found.len() > 50, "the sources were not found");
    found
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a source file is readable");
            let name = path.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned();
            (name, text)
        })
        .collect()
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
