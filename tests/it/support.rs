//! What the tests share: where things are, and a daemon with its sandbox.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The program under test: that of this build, unless the environment names another.
pub fn paystate() -> PathBuf {
    std::env::var_os("PAYSTATE_BINARY")
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_paystate")), |binary| root().join(binary))
}

/// Whether the long forms of tests are wanted: `PAYSTATE_SOAK=1`.
pub fn soak() -> bool {
    std::env::var_os("PAYSTATE_SOAK").is_some_and(|text| text == "1")
}

/// `paystate serve --sandbox` on a folder of its own; it ends with the test.
pub struct Daemon {
    child: Child,
    pub url: String,
    data: tempfile::TempDir,
}

impl Daemon {
    pub fn start() -> Self {
        let data = tempfile::tempdir().expect("a temporary folder");
        let (child, url) = Self::launch(data.path());
        Self { child, url, data }
    }

    /// Starts it again on the same data, after it was killed.
    pub fn again(&mut self) {
        self.kill();
        (self.child, self.url) = Self::launch(self.data.path());
    }

    fn launch(folder: &Path) -> (Child, String) {
        let mut child = Command::new(paystate())
            .args(["serve", "--sandbox", "--listen", "127.0.0.1:0", "--json", "--workflows"])
            .arg(root().join("workflows"))
            .arg("--data")
            .arg(folder.join("data"))
            .stdout(Stdio::piped())
            .stderr(fs::File::create(folder.join("log")).expect("a file for the log"))
            .spawn()
            .expect("the daemon starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("its first line");
        let ready: serde_json::Value = serde_json::from_str(&line).expect("the daemon says in JSON where it listens");
        let url = ready["api"].as_str().expect("the address of the API").to_owned();
        (child, url)
    }

    pub fn environment(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("PAYSTATE_SERVER".to_owned(), self.url.clone())])
    }

    /// Where its sandbox keeps what others need to talk to it.
    pub fn sandbox_dir(&self) -> PathBuf {
        self.data.path().join("data/sandbox")
    }
}

impl Daemon {
    /// What it has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.data.path().join("log")).expect("the log is text")
    }

    /// Ends it at once, as a crash would; its data stays until the test ends.
    pub fn kill(&mut self) -> PathBuf {
        self.child.kill().expect("the daemon is killed");
        self.child.wait().expect("and gone");
        self.data.path().join("data")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself, which its test has seen.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
