//! An audit pack: a folder that somebody else can verify without the tables.
//!
//! `SHA256SUMS` names every file by its hash, in the format of `sha256sum`; the hash of that file is
//! the seal. `entries.jsonl` has every entry of the journal in the period as it was sealed,
//! `heads.csv` the last entry of each journal at the end of it, over which the root is.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use domain::audit::root;
use domain::hex;
use domain::journal::JournalEntry;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The names and hashes of all other files.
pub(super) const SUMS: &str = "SHA256SUMS";
pub(super) const ENTRIES: &str = "entries.jsonl";
pub(super) const HEADS: &str = "heads.csv";
pub(super) const REPORT: &str = "report.json";
/// Where the lifecycle files are.
pub(super) const VERSIONS: &str = "versions";

/// A line of the entries.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) customer: String,
    pub(super) entry: JournalEntry,
}

/// The last entry of a journal.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) customer: String,
    pub(super) seq: u64,
    pub(super) hash: String,
}

/// Names every file of a folder by its hash: the seal.
///
/// # Errors
/// When a file cannot be read, or the list not be written.
pub(super) fn seal(folder: &Path) -> Result<String> {
    let mut sums = String::new();
    for (name, path) in files(folder)? {
        sums.push_str(&format!("{}  {name}\n", hash_of(&path)?));
    }
    let path = folder.join(SUMS);
    fs::write(&path, &sums).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(hex(&Sha256::digest(sums.as_bytes())))
}

/// What a pack came to.
pub(super) struct Verified {
    pub(super) seal: String,
    pub(super) entries: u64,
    /// What is wrong, as `file: what`.
    pub(super) faults: Vec<String>,
}

/// Verifies a pack by what is in it.
///
/// # Errors
/// When the folder is no pack, or a file cannot be read.
pub(super) fn verify(folder: &Path) -> Result<Verified> {
    let path = folder.join(SUMS);
    let sums = fs::read(&path).with_context(|| {
        format!("{} is no audit pack: there is no {SUMS} in it", folder.display())
    })?;
    let mut faults = Vec::new();
    let listed = listed(&String::from_utf8_lossy(&sums))?;
    let there = files(folder)?;
    for name in there.keys().filter(|name| !listed.contains_key(*name)) {
        faults.push(format!("{name}: was added"));
    }
    for (name, hash) in &listed {
        match there.get(name) {
            None => faults.push(format!("{name}: is missing")),
            Some(path) if hash_of(path)? != *hash => faults.push(format!("{name}: was changed")),
            Some(_) => {}
        }
    }
    let mut entries = 0;
    if let Some(path) = there.get(ENTRIES) {
        entries = chains(path, there.get(HEADS).map(PathBuf::as_path), &mut faults)?;
    }
    root_holds(&there, &mut faults)?;
    versions_hold(&there, &mut faults)?;
    Ok(Verified { seal: hex(&Sha256::digest(&sums)), entries, faults })
}

/// The files of a folder and of those below it, but for the list, by their names in it.
fn files(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![(folder.to_owned(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        let said = || format!("cannot read the folder {}", folder.display());
        for entry in fs::read_dir(&folder).with_context(said)? {
            let entry = entry.with_context(said)?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            match entry.file_type().with_context(said)?.is_dir() {
                true => folders.push((entry.path(), format!("{name}/"))),
                false if name == SUMS => {}
                false => {
                    found.insert(name, entry.path());
                }
            }
        }
    }
    Ok(found)
}

fn hash_of(path: &Path) -> Result<String> {
    let said = || format!("cannot read {}", path.display());
    let mut file = BufReader::new(fs::File::open(path).with_context(said)?);
    let mut digest = Sha256::new();
    loop {
        let part = file.fill_buf().with_context(said)?;
        if part.is_empty() {
            break;
        }
        digest.update(part);
        let length = part.len();
        file.consume(length);
    }
    Ok(hex(&digest.finalize()))
}

fn listed(sums: &str) -> Result<BTreeMap<String, String>> {
    let mut listed = BTreeMap::new();
    for line in sums.lines() {
        let Some((hash, name)) = line.split_once("  ") else {
            bail!("{SUMS} is not as it was written: `{line}` is no hash and a name");
        };
        listed.insert(name.to_owned(), hash.to_owned());
    }
    Ok(listed)
}

/// Each entry by its hash and by the one before, and each journal by its last entry.
fn chains(path: &Path, heads: Option<&Path>, faults: &mut Vec<String>) -> Result<u64> {
    let file = fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut last: HashMap<String, (u64, String)> = HashMap::new();
    let mut entries = 0;
    for (at, line) in BufReader::new(file).split(b'\n').enumerate() {
        entries += 1;
        let line = line.context("cannot read the entries")?;
        let Ok(Line { customer, entry }) = serde_json::from_slice::<Line>(&line) else {
            faults.push(format!("{ENTRIES}: line {} is no entry", at + 1));
            continue;
        };
        let is_next = last.get(&customer).is_none_or(|(seq, hash)| {
            entry.seq != seq + 1 && entry.seq > *seq || entry.seq == seq + 1 && entry.prev == *hash
        });
        if !entry.is_intact() || !is_next {
            faults.push(format!("{ENTRIES}: entry {} of {customer} is not as sealed", entry.seq));
        }
        last.insert(customer, (entry.seq, entry.hash));
    }
    let Some(heads) = heads else { return Ok(entries) };
    let reader = csv::Reader::from_path(heads).context("cannot read the heads")?;
    for head in reader.into_deserialize::<Head>() {
        let Ok(head) = head else {
            faults.push(format!("{HEADS}: a line is no last entry"));
            continue;
        };
        let is_other = last
            .remove(&head.customer)
            .is_some_and(|(seq, hash)| (seq, hash.as_str()) != (head.seq, head.hash.as_str()));
        if is_other {
            faults.push(format!("{HEADS}: the last entry of {} is another", head.customer));
        }
    }
    faults.extend(last.keys().map(|customer| format!("{HEADS}: {customer} is missing")));
    Ok(entries)
}

/// Whether the root of the report is that over the heads.
fn root_holds(there: &BTreeMap<String, PathBuf>, faults: &mut Vec<String>) -> Result<()> {
    let (Some(report), Some(heads)) = (there.get(REPORT), there.get(HEADS)) else { return Ok(()) };
    let report = fs::read(report).context("cannot read the report")?;
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap_or_default();
    let reader = csv::Reader::from_path(heads).context("cannot read the heads")?;
    let heads: Vec<Head> = reader.into_deserialize().filter_map(Result::ok).collect();
    let over = root(heads.iter().map(|head| head.hash.as_str()).collect());
    if report["root"]["hash"] != over.as_str() {
        faults.push(format!("{REPORT}: its root is not that over {HEADS}"));
    }
    Ok(())
}

/// Whether the lifecycle files are those that the entries name.
fn versions_hold(there: &BTreeMap<String, PathBuf>, faults: &mut Vec<String>) -> Result<()> {
    let Some(report) = there.get(REPORT) else { return Ok(()) };
    let report = fs::read(report).context("cannot read the report")?;
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap_or_default();
    let versions = report["versions"].as_array().cloned().unwrap_or_default();
    let mut named = BTreeSet::new();
    for version in &versions {
        let name = format!("{VERSIONS}/lifecycle-{}.yaml", version["version"]);
        let hash = there.get(&name).map(|path| hash_of(path)).transpose()?;
        if hash.as_deref() != version["hash"].as_str() {
            faults.push(format!("{name}: is not the file of its hash"));
        }
        named.insert(name);
    }
    let of_versions = there.keys().filter(|name| name.starts_with(&format!("{VERSIONS}/")));
    faults.extend(
        of_versions
            .filter(|name| !named.contains(*name))
            .map(|name| format!("{name}: is not in the report")),
    );
    Ok(())
}
