//! Which connectors are paused: a small file of its own, since it belongs to no order.

use std::io;
use std::path::Path;

use super::dir::replace;
use super::index::unreadable;
use crate::store::StoreError;
use crate::types::Pauses;

const FILE: &str = "pauses";

pub(super) fn write(dir: &Path, pauses: &Pauses) -> Result<(), StoreError> {
    let text = serde_json::to_string(pauses).map_err(|error| unreadable(FILE, &error.to_string()))?;
    replace(&dir.join(FILE), &text).map_err(|error| match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full,
        _ => StoreError::Read { what: format!("{} (to write it)", dir.join(FILE).display()), why: error.to_string() },
    })
}

/// A file that cannot be read stops the start: whoever paused a provider had a reason.
pub(super) fn read(dir: &Path) -> Result<Pauses, StoreError> {
    let path = dir.join(FILE);
    let wrong = |why: String| {
        let path = path.display();
        StoreError::Damaged(format!(
            "{path} says which connectors are paused, and cannot be read: {why}; remove it, and pause them again"
        ))
    };
    match std::fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).map_err(|error| wrong(error.to_string())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Pauses::new()),
        Err(error) => Err(wrong(error.to_string())),
    }
}
