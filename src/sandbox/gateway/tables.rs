//! What the gateway remembers: rows by table and key, kept in memory and, if there is a directory, on disk.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::sandbox::lines::Lines;

/// The gateway refuses more rows than this instead of filling the machine's memory.
const ROWS_MAX: usize = 8_000_000;

#[derive(Debug)]
pub(crate) struct Tables {
    inside: Mutex<Inside>,
}

#[derive(Debug)]
struct Inside {
    rows: HashMap<String, Value>,
    lines: Option<Lines>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Row {
    k: String,
    v: Value,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum TableError {
    #[error("the sandbox's tables are full")]
    Full,
    #[error("the sandbox cannot write its file: {0}")]
    Io(#[from] io::Error),
    #[error("a row cannot be encoded: {0}")]
    Encode(#[from] serde_json::Error),
}

impl Tables {
    pub(crate) fn open(dir: Option<&Path>) -> io::Result<Self> {
        let mut rows = HashMap::new();
        let lines = match dir {
            Some(dir) => Some(Lines::open(&dir.join("gateway.jsonl"), |row: Row| {
                if row.v.is_null() {
                    rows.remove(&row.k);
                } else {
                    rows.insert(row.k, row.v);
                }
            })?),
            None => None,
        };
        // What was under way when the gateway was killed is forgotten: the bank's books say what became of it.
        rows.retain(|key, row| !key.starts_with("operation/") || !row["status"].is_null());
        Ok(Self { inside: Mutex::new(Inside { rows, lines }) })
    }

    pub(crate) fn get<T: DeserializeOwned>(&self, table: &str, key: &str) -> Option<T> {
        let row = self.inside().rows.get(&format!("{table}/{key}")).cloned()?;
        serde_json::from_value(row).ok()
    }

    pub(crate) fn put<T: Serialize>(&self, table: &str, key: &str, row: &T) -> Result<(), TableError> {
        let value = serde_json::to_value(row)?;
        self.inside().write(format!("{table}/{key}"), value)
    }

    /// Puts the row in unless there is one; returns the one that was there.
    pub(crate) fn claim<T: Serialize + DeserializeOwned>(
        &self,
        table: &str,
        key: &str,
        row: &T,
    ) -> Result<Option<T>, TableError> {
        let value = serde_json::to_value(row)?;
        let mut inside = self.inside();
        let key = format!("{table}/{key}");
        if let Some(known) = inside.rows.get(&key) {
            return Ok(Some(serde_json::from_value(known.clone())?));
        }
        inside.write(key, value)?;
        Ok(None)
    }

    /// Changes a row in one step; `change` says whether there is anything to write. Returns the row as it is then.
    pub(crate) fn update<T: Serialize + DeserializeOwned>(
        &self,
        table: &str,
        key: &str,
        change: impl FnOnce(&mut T) -> bool,
    ) -> Result<Option<T>, TableError> {
        let mut inside = self.inside();
        let key = format!("{table}/{key}");
        let Some(known) = inside.rows.get(&key) else { return Ok(None) };
        let mut row: T = serde_json::from_value(known.clone())?;
        if change(&mut row) {
            let value = serde_json::to_value(&row)?;
            inside.write(key, value)?;
        }
        Ok(Some(row))
    }

    /// Every row of a table that fits, for taking up work after a restart.
    pub(crate) fn select<T: DeserializeOwned>(&self, table: &str, fits: impl Fn(&T) -> bool) -> Vec<T> {
        let inside = self.inside();
        let prefix = format!("{table}/");
        let rows = inside.rows.iter().filter(|(key, _)| key.starts_with(&prefix));
        rows.filter_map(|(_, row)| serde_json::from_value(row.clone()).ok()).filter(fits).collect()
    }

    pub(crate) fn remove(&self, table: &str, key: &str) -> Result<(), TableError> {
        self.inside().write(format!("{table}/{key}"), Value::Null)
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    /// Null takes the row away.
    fn write(&mut self, key: String, value: Value) -> Result<(), TableError> {
        if self.rows.len() >= ROWS_MAX {
            return Err(TableError::Full);
        }
        if let Some(lines) = &mut self.lines {
            lines.append(&Row { k: key.clone(), v: value.clone() })?;
        }
        if value.is_null() {
            self.rows.remove(&key);
        } else {
            self.rows.insert(key, value);
        }
        Ok(())
    }
}
