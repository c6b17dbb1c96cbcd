//! One machine: a disk, a daemon on it, and the switch.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::disk::{self, Cut, Taken};
use super::log::Log;
use super::shim::{Control, Knob, library};
use super::tree::Tree;
use crate::journal_disk::Dice;
use crate::support::{paystate, root};

/// Nothing here takes so long unless it hangs.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

pub(super) struct Rig {
    folder: tempfile::TempDir,
    pub(super) control: Control,
    /// The names on the disk when the machine was last started.
    before: Tree,
    starts: u32,
    config: Option<PathBuf>,
    workflows: PathBuf,
}

/// The daemon, from its start to its end.
pub(super) struct Daemon {
    child: Child,
    first_line: Receiver<String>,
    stderr: Option<thread::JoinHandle<String>>,
}

/// How a daemon ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) stderr: String,
}

impl Rig {
    /// An empty disk. The workflows are those in tests/power.
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for part in ["disk", "trace", "trace/graves"] {
            fs::create_dir(folder.path().join(part)).unwrap();
        }
        let control = Control::create(&folder.path().join("trace/control"));
        let before = Tree::read(&folder.path().join("disk"));
        let workflows = root().join("tests/power/workflows");
        let mut rig = Self { folder, control, before, starts: 0, config: None, workflows };
        rig.power_on();
        rig
    }

    /// With the shipped workflows, and a configuration that tells where the providers are.
    pub(super) fn with_config(mut self, config: PathBuf) -> Self {
        self.workflows = root().join("workflows");
        self.config = Some(config);
        self
    }

    pub(super) fn disk(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    pub(super) fn data(&self) -> PathBuf {
        self.disk().join("data")
    }

    fn trace(&self) -> PathBuf {
        self.folder.path().join("trace")
    }

    /// Starts the machine: whatever is on the disk now is durable.
    pub(super) fn power_on(&mut self) {
        self.starts += 1;
        let graves = self.trace().join("graves");
        fs::remove_dir_all(&graves).unwrap();
        fs::create_dir(&graves).unwrap();
        fs::write(self.trace().join("log"), []).unwrap();
        fs::write(self.trace().join("boot_id"), format!("start-{}\n", self.starts)).unwrap();
        self.before = Tree::read(&self.disk());
        let sizes = self.before.files(&self.disk()).into_values().map(|path| fs::metadata(path).unwrap().len());
        self.control.set(Knob::Used, sizes.sum());
        self.control.set(Knob::Failed, 0);
        self.control.set(Knob::FailTimes, 0);
    }

    /// Cuts the power, of a machine whose daemon has been killed, and starts it again.
    pub(super) fn cut(&mut self, how: Cut, dice: &mut Dice) -> Taken {
        assert_eq!(self.control.get(Knob::Strangers), 0, "something was written in a way that the log does not have");
        let taken = disk::cut(&self.disk(), &self.trace(), &self.before, how, dice);
        self.power_on();
        taken
    }

    /// What is on the disk and not in the log.
    pub(super) fn unexplained(&self) -> Vec<PathBuf> {
        disk::unexplained(&self.disk(), &self.trace())
    }

    /// Only the daemon has died: the disk is as it was. What it was writing into the log is cut off.
    pub(super) fn after_kill(&self) {
        Log::read(&self.trace().join("log"));
    }

    /// Starts the daemon on this disk, without waiting for it.
    pub(super) fn spawn(&self, port: u16) -> Daemon {
        let mut command = Command::new(paystate());
        command.args(["serve", "--json", "--listen", &format!("127.0.0.1:{port}"), "--data"]);
        command.arg(self.data()).arg("--workflows").arg(&self.workflows);
        if let Some(config) = &self.config {
            command.arg("--config").arg(config);
        }
        command.env("LD_PRELOAD", library().expect("whoever asks for a machine has looked whether there is one"));
        command.env("PAYSTATE_POWER_DISK", self.disk()).env("PAYSTATE_POWER_TRACE", self.trace());
        Daemon::spawn(&mut command)
    }

    /// Starts it and waits until it serves; the address of its API.
    pub(super) fn start(&self) -> (Daemon, String) {
        let mut daemon = self.spawn(0);
        match daemon.ready() {
            Some(told) => {
                let url = told["api"].as_str().expect("the address of the API").to_owned();
                (daemon, url)
            }
            None => panic!("the daemon did not start: {:?}", daemon.wait(PATIENCE)),
        }
    }

    /// `paystate replay` on this disk, of which no daemon runs: every order must come out as it is stored.
    pub(super) fn replay(&self) -> usize {
        let answer = Command::new(paystate()).args(["replay", "--json", "--data"]).arg(self.data()).output().unwrap();
        let told = String::from_utf8(answer.stdout).unwrap();
        assert!(answer.status.success(), "{told}{}", String::from_utf8_lossy(&answer.stderr));
        told.lines().count()
    }

    /// The name of a file or directory in the data, by its inode.
    pub(super) fn name_of(&self, ino: u64) -> Option<String> {
        let path = Tree::read(&self.disk()).path_of(ino, &self.disk())?;
        Some(path.strip_prefix(self.data()).unwrap_or(&path).display().to_string())
    }
}

impl Daemon {
    /// Starts a process that says in one line of JSON where it is.
    pub(super) fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the process starts");
        let (mut out, mut err) = (BufReader::new(child.stdout.take().unwrap()), child.stderr.take().unwrap());
        let (sender, first_line) = channel();
        thread::spawn(move || {
            let mut line = String::new();
            // Nobody may be waiting for it any more.
            let _ = out.read_line(&mut line).map(|_| sender.send(line));
        });
        let stderr = thread::spawn(move || {
            let mut text = Vec::new();
            let _ = err.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        Self { child, first_line, stderr: Some(stderr) }
    }

    /// What it says when it is ready; none when it ends instead.
    pub(super) fn ready(&mut self) -> Option<Value> {
        let line = self.first_line.recv_timeout(PATIENCE).expect("it says that it is ready, or ends");
        serde_json::from_str(&line).ok()
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL: no handler runs, nothing is flushed.
    pub(super) fn kill(mut self) -> Ended {
        // It may have ended by itself.
        let _ = self.child.kill();
        self.wait(PATIENCE).expect("it was killed")
    }

    pub(super) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success(), "the signal was sent");
    }

    /// Waits until it ends by itself; none when it does not.
    pub(super) fn wait(&mut self, patience: Duration) -> Option<Ended> {
        let until = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                let stderr = self.stderr.take().map(|stderr| stderr.join().unwrap()).unwrap_or_default();
                return Some(Ended { status, stderr });
            }
            if Instant::now() > until {
                return None;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
