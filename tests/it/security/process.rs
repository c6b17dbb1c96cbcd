//! What others see of the process.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::support::paystate;

/// A crash writes no picture of the memory, and other processes of the same user may not read it.
#[test]
fn the_memory_of_a_daemon_is_private() {
    use std::os::unix::fs::MetadataExt as _;
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(paystate())
        .args(["serve", "--json", "--listen", "127.0.0.1:0", "--data", "data", "--workflows"])
        .arg(crate::support::root().join("workflows"))
        .arg("--sandbox")
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let limits = fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    let owner = fs::metadata(format!("/proc/{}/limits", child.id())).unwrap().uid();
    let _ = child.kill();
    child.wait().unwrap();
    let core = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
    assert_eq!(core.split_ascii_whitespace().take(2).collect::<Vec<_>>(), ["0", "0"], "{limits}");
    // The kernel gives what is about a process that may not be looked into to root.
    assert_eq!(owner, 0);
}
