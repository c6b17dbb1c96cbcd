//! Makes the working store anew from its own rows. sled uses room again that removed rows have left, but its files do not
//! become shorter.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::dir::{Lock, Marker};
use super::doctor::{Scratch, put_in_place};
use super::index::{Index, Trouble, unreadable};
use super::{SledOptions, SledStore};
use crate::store::StoreError;

impl SledStore {
    /// Shrinks the working store of a directory that nobody uses to what is in it. Cut off, it leaves the old one or one
    /// that the next start rebuilds.
    pub fn compact(dir: &Path, options: &SledOptions) -> Result<(), StoreError> {
        let _lock = Lock::take_there(dir)?;
        let (path, marker) = (dir.join("sled"), Marker::new(dir));
        if !path.is_dir() || !marker.is_trustworthy() {
            return Ok(());
        }
        let failed = |error: std::io::Error| unreadable("the working store", &error.to_string());
        marker.in_use().map_err(failed)?;
        let scratch = Scratch::new(dir, true).map_err(failed)?;
        let there = open(&path, options)?;
        let made = scratch.path("made/sled");
        fs::create_dir_all(&made).map_err(failed)?;
        let fresh = open(&made, options)?;
        fresh.copy(&there)?;
        drop(there);
        put_in_place(dir, fresh, &scratch).map_err(failed)?;
        // Nothing was wrong with it.
        fs::remove_dir_all(dir.join("sled.aside")).map_err(failed)
    }
}

fn open(path: &Path, options: &SledOptions) -> Result<Index, StoreError> {
    let opened = Index::open(path, options.cache, options.open_within, Arc::clone(&options.index_writes));
    opened.map_err(|Trouble { full, why }| if full { StoreError::Full } else { unreadable("the working store", &why) })
}
