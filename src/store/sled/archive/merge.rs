//! Several files become one, so that there are never many: each is some times larger than the next.

use std::io;
use std::sync::{Arc, PoisonError};

use super::file::{self, Entry, IndexFile};
use super::{Archive, opened};

/// As many of about one size become one.
const FANOUT: usize = 8;
/// All that are smaller are of one size.
const SMALL: u64 = 64 * 1024;

impl Archive {
    /// Merges files once, if there are too many of a size. Not for two threads at once. False when there is nothing to do.
    pub(in crate::store::sled) fn merge(&self) -> io::Result<bool> {
        let files = self.files();
        let Some(from) = crowd(&files.iter().map(|file| size(file.count)).collect::<Vec<_>>()) else {
            return Ok(false);
        };
        let old = &files[from..from + FANOUT];
        let range = (old[FANOUT - 1].first, old[0].last);
        // It has the name of the newest of them, and takes its place at once.
        let Some(path) = file::write(&self.dir, range, merged(old))? else { return Ok(false) };
        let new = Arc::new(opened(path)?);
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        files.retain(|file| file.last > range.1 || file.last < range.0);
        let at = files.iter().position(|file| file.last < range.0).unwrap_or(files.len());
        files.insert(at, new);
        drop(files);
        for file in &old[1..] {
            std::fs::remove_file(&file.path)?;
        }
        Ok(true)
    }
}

/// Where as many in a row are of one size, or of none that is larger than the one before them.
fn crowd(sizes: &[u32]) -> Option<usize> {
    sizes.windows(FANOUT).position(|row| row.iter().all(|size| *size <= row[FANOUT - 1]) && row[0] == row[FANOUT - 1])
}

fn size(count: u64) -> u32 {
    (count / SMALL).checked_ilog(FANOUT as u64).map_or(0, |size| size + 1)
}

/// The entries of all files in the order of their ids; of one order, what the newest file says. The newest is first.
pub(super) fn merged(files: &[Arc<IndexFile>]) -> impl Iterator<Item = io::Result<Entry>> + '_ {
    let mut rows: Vec<_> = files.iter().map(|file| file.entries().peekable()).collect();
    let mut over = false;
    std::iter::from_fn(move || {
        if over {
            return None;
        }
        let mut least: Option<(usize, crate::types::OrderId)> = None;
        for (at, row) in rows.iter_mut().enumerate() {
            match row.peek() {
                Some(Ok((order, _))) if least.is_none_or(|(_, least)| *order < least) => least = Some((at, *order)),
                Some(Err(_)) => {
                    over = true;
                    return row.next();
                }
                _ => {}
            }
        }
        let (at, order) = least?;
        for (other, row) in rows.iter_mut().enumerate() {
            if other != at {
                row.next_if(|entry| entry.as_ref().is_ok_and(|entry| entry.0 == order));
            }
        }
        rows[at].next()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_one_size_is_a_crowd() {
        assert_eq!(crowd(&[0; 7]), None);
        assert_eq!(crowd(&[0; 8]), Some(0));
        assert_eq!(crowd(&[0, 0, 0, 1, 1, 1, 1, 1, 1, 1]), None);
        assert_eq!(crowd(&[0, 1, 1, 1, 1, 1, 1, 1, 1, 2]), Some(1));
        assert_eq!((size(1), size(SMALL - 1), size(SMALL), size(SMALL * 8)), (0, 0, 1, 2));
    }
}
