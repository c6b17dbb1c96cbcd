//! An append-only file of JSON lines: what the bank and the gateway remember over a restart.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// No line is longer than this: a sealed payment with its coins fits easily.
const LINE_MAX: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct Lines {
    file: File,
}

impl Lines {
    /// Opens the file and hands every line to `replay`. A torn last line, left by a kill, is cut off.
    pub(crate) fn open<T: DeserializeOwned>(path: &Path, mut replay: impl FnMut(T)) -> io::Result<Self> {
        let mut good = 0_u64;
        if path.exists() {
            let mut reader = BufReader::new(File::open(path)?);
            let mut line = String::new();
            loop {
                line.clear();
                let read = reader.read_line(&mut line)?;
                if read == 0 || read > LINE_MAX || !line.ends_with('\n') {
                    break;
                }
                let Ok(value) = serde_json::from_str(&line) else { break };
                replay(value);
                good += read as u64;
            }
        }
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        file.set_len(good)?;
        Ok(Self { file })
    }

    /// Appends one line with a single write, so that a kill tears at most the last line.
    pub(crate) fn append<T: Serialize>(&mut self, value: &T) -> io::Result<()> {
        let mut line = serde_json::to_vec(value).map_err(io::Error::other)?;
        line.push(b'\n');
        self.file.write_all(&line)
    }
}
