//! The library that is put between the daemon and its disk, and the page of numbers that steers it.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::support::root;

/// The numbers of `struct control` in tests/power/shim.c, by their place in it.
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
pub(super) enum Knob {
    Room = 0,
    Used = 1,
    FailCall = 2,
    FailFrom = 3,
    FailTimes = 4,
    FailErrno = 5,
    Failed = 6,
    FailedAt = 7,
    FailedFile = 8,
    Lie = 9,
    SyncMicros = 10,
    Strangers = 11,
    OnlyFile = 12,
    /// Calls of each kind so far follow: the kind's number is added.
    Calls = 13,
}

/// What can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Write = 1,
    Sync = 2,
    Open = 3,
    Read = 4,
}

/// How it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Half is read or written.
    Short = 0,
    Interrupted = 4,
    Io = 5,
    NoSpace = 28,
    /// The process is killed instead.
    Death = 9999,
}

/// The page itself. It is shared with the daemon, before it is started and while it runs.
#[derive(Debug)]
pub(super) struct Control {
    page: File,
}

impl Control {
    pub(super) fn create(path: &Path) -> Self {
        let page = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path).unwrap();
        page.set_len(4096).unwrap();
        Self { page }
    }

    pub(super) fn set(&self, knob: Knob, value: u64) {
        self.page.write_all_at(&value.to_ne_bytes(), knob as u64 * 8).unwrap();
    }

    pub(super) fn get(&self, knob: Knob) -> u64 {
        self.read(knob as u64)
    }

    /// How many calls of a kind there were.
    pub(super) fn calls(&self, call: Call) -> u64 {
        self.read(Knob::Calls as u64 + call as u64)
    }

    /// The `n`-th call of a kind from now on fails, and the `times - 1` after it.
    pub(super) fn fail(&self, call: Call, n: u64, times: u64, fault: Fault) {
        self.set(Knob::FailTimes, 0);
        self.set(Knob::FailErrno, fault as u64);
        self.set(Knob::FailFrom, self.calls(call) + n);
        self.set(Knob::FailCall, call as u64);
        self.set(Knob::FailTimes, times);
    }

    fn read(&self, index: u64) -> u64 {
        let mut bytes = [0; 8];
        self.page.read_exact_at(&mut bytes, index * 8).unwrap();
        u64::from_ne_bytes(bytes)
    }
}

/// Whether the library can be built here. If not, the test that asks has to be skipped, and says so.
pub(super) fn is_there() -> bool {
    let there = library().is_some();
    if !there {
        eprintln!("skipped: 1 (no C compiler, `cc`)");
    }
    there
}

/// The compiled library. It is built once in a run of the tests.
pub(super) fn library() -> Option<&'static Path> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        fs::create_dir_all(folder).unwrap();
        let passing = folder.join(format!("power-{}.so", std::process::id()));
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden", "-o"])
            .arg(&passing)
            .arg(root().join("tests/power/shim.c"))
            .args(["-ldl", "-lpthread"])
            .output();
        let built = match built {
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            built => built.expect("the compiler runs"),
        };
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let library = folder.join("power.so");
        fs::rename(&passing, &library).unwrap();
        Some(library)
    });
    built.as_deref()
}
