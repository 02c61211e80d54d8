//! How far an import has come, kept beside the data, so that an interrupted one goes on.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Plan;
use super::report::BadSample;
use super::time::ShiftTo;

const VERSION: u32 = 1;

/// The state of an import whose rows have all been read and put into order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    pub(super) version: u32,
    /// The file, for people who look in here.
    pub(super) file: String,
    pub(super) rows: u64,
    pub(super) good: u64,
    pub(super) rejected: u64,
    pub(super) set_aside: u64,
    pub(super) bad: Vec<BadSample>,
    pub(super) first_ms: Option<i64>,
    pub(super) last_ms: Option<i64>,
    pub(super) shift_days: i64,
    pub(super) partitions: u32,
    /// The partition that comes next, and how many of its records are committed.
    pub(super) partition: u32,
    pub(super) done: u64,
    /// Records committed in all.
    pub(super) stored: u64,
    pub(super) accepted: u64,
    pub(super) duplicates: u64,
    pub(super) customers: u64,
}

impl Checkpoint {
    pub(super) fn of_file(file: &Path) -> Checkpoint {
        Checkpoint { version: VERSION, file: file.display().to_string(), ..Checkpoint::default() }
    }
}

/// Where the checkpoint of an import is.
#[derive(Debug, Clone)]
pub(super) struct Place {
    folder: PathBuf,
    pub(super) key: String,
}

impl Place {
    /// The same file, unchanged, read in the same way has the same place.
    pub(super) fn of(
        folder: &Path,
        file: &Path,
        plan: &Plan,
        shift: Option<ShiftTo>,
    ) -> io::Result<Place> {
        let file = fs::canonicalize(file)?;
        let metadata = fs::metadata(&file)?;
        let modified = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = format!(
            "{}\n{}\n{}\n{}\n{shift:?}",
            file.display(),
            metadata.len(),
            modified.as_nanos(),
            plan.fingerprint()
        );
        let key = domain::hex(&Sha256::digest(name.as_bytes())[..16]);
        Ok(Place { folder: folder.to_owned(), key })
    }

    fn path(&self) -> PathBuf {
        self.folder.join(format!("{}.json", self.key))
    }

    /// What was kept; nothing where it cannot be read, for then the import starts again.
    pub(super) fn read(&self) -> Option<Checkpoint> {
        let found: Checkpoint = serde_json::from_slice(&fs::read(self.path()).ok()?).ok()?;
        (found.version == VERSION).then_some(found)
    }

    /// Replaces what was kept, whole or not at all.
    pub(super) fn write(&self, checkpoint: &Checkpoint) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let draft = self.path().with_extension("json.new");
        fs::write(&draft, serde_json::to_vec(checkpoint)?)?;
        fs::rename(draft, self.path())
    }

    pub(super) fn remove(&self) -> io::Result<()> {
        match fs::remove_file(self.path()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
