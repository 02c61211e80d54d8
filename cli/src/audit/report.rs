//! `lifecycle audit report`: what was promised, kept, broken, waived and changed in a period, with the
//! evidence, as an audit pack.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use domain::adherence::{By, Row};
use domain::audit::{days_of, root};
use domain::journal::{ChangeKind, JournalEntry};
use domain::lifecycle::load;
use jiff::Timestamp;
use platform::Store;
use platform::adherence::{Span, SpanError};
use platform::store::{Configuration, JournalPlace};
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::pack::{self, ENTRIES, HEADS, Head, Line, REPORT, VERSIONS};
use super::{Found, bar, page, verify};
use crate::clock::LocalClock;
use crate::simulate::instant;
use crate::target::{Target, TargetArgs};

/// Make an audit pack of a period
#[derive(Debug, Args)]
#[command(
    long_about = "Writes a folder with the standards that were in force and in which version of the lifecycle \
file, how well they were kept, every breach with its evidence, waivers, what people decided, changes of the \
file, and who did what: report.html for people, CSV and JSON for programs, and every journal entry of the \
period as it was sealed.\n\n\
Whoever gets the folder can verify it without access to anything: `lifecycle audit verify --pack DIR`, or \
`python3 DIR/verify.py`. The seal that is printed is one hash over all of it: keep it, or send it another way.\n\n\
The pack names customers and people. What was erased is in it without a name.",
    after_long_help = "Examples:\n  \
lifecycle audit report --from 2026-07-01 --to 2026-10-01 --out audit-2026-q3\n  \
lifecycle audit verify --pack audit-2026-q3 --seal 4d1c…\n\n\
With --json, one object on standard output:\n  \
{\"folder\", \"from\", \"to\", \"seal\", \"root\", \"entries\", \"breaches\", \"waivers\", \"verified\"}\n\n\
Exit codes: 0 written, 1 failed, or some journal does not verify, 2 wrong use."
)]
pub(super) struct ReportArgs {
    /// The beginning: an instant, or a date as 2026-07-01 (in UTC)
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    from: Timestamp,
    /// The end, which is not in it any more [default: now]
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    to: Option<Timestamp>,
    /// A folder that is not there yet, or is empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

/// A breach of a standard.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Breach {
    pub(super) customer: String,
    pub(super) standard: String,
    /// The entry that says so.
    pub(super) seq: u64,
    pub(super) opened_at: Timestamp,
    pub(super) closed_at: Option<Timestamp>,
    /// The evidence, in words.
    pub(super) evidence: String,
}

/// A daily root.
#[derive(Debug, Clone, Serialize)]
pub(super) struct DailyRoot {
    pub(super) seq: u64,
    pub(super) at: Timestamp,
    /// The last day it is of.
    pub(super) through: Option<String>,
    /// How many entries it is over.
    pub(super) entries: u64,
    /// The head of the tree over them.
    pub(super) tree: Option<String>,
    /// The hash of the root itself, which names the one before.
    pub(super) hash: String,
}

/// What a person decided.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ByHand {
    pub(super) at: Timestamp,
    pub(super) customer: String,
    pub(super) seq: u64,
    pub(super) kind: &'static str,
    pub(super) rule: String,
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
    pub(super) author: String,
    pub(super) reason: Option<String>,
    pub(super) until: Option<Timestamp>,
}

/// A version of the lifecycle file that was in force.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Version {
    pub(super) version: u64,
    pub(super) hash: String,
    pub(super) applied_at: Timestamp,
    /// When the next one was.
    pub(super) until: Option<Timestamp>,
    pub(super) author: Option<String>,
    pub(super) message: Option<String>,
    pub(super) standards: Vec<Json>,
}

/// All of it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) made_at: Timestamp,
    pub(super) workspace: Option<String>,
    pub(super) root: Json,
    /// What does not verify, as `audit verify` says it.
    pub(super) faults: Vec<String>,
    pub(super) versions: Vec<Version>,
    pub(super) adherence: Vec<Row>,
    pub(super) breaches: Vec<Breach>,
    pub(super) waivers: Vec<ByHand>,
    pub(super) by_hand: Vec<ByHand>,
    /// The daily roots that were made in the period.
    pub(super) roots: Vec<DailyRoot>,
    /// By author and kind.
    pub(super) people: BTreeMap<String, BTreeMap<String, u64>>,
}

/// Makes the pack.
///
/// # Errors
/// When the folder is in use, the data cannot be read, or the files not be written.
pub(super) async fn run(args: ReportArgs) -> Result<ExitCode> {
    let out = args.out.as_path();
    if out.exists() && fs::read_dir(out).map_or(true, |mut entries| entries.next().is_some()) {
        bail!("{} is there and not empty: name a new folder", out.display());
    }
    let now = LocalClock::system().now();
    let (from, to) = (args.from, args.to.unwrap_or(now).min(now));
    let span = Span::new(from, to).ok_or(SpanError::Length)?;
    let target = Target::open(&args.target).await?;
    let store = &target.store;
    let lifecycle = store.lifecycle().await.context("there is no active lifecycle file")?;
    fs::create_dir_all(out.join(VERSIONS))
        .with_context(|| format!("cannot make the folder {}", out.display()))?;

    let bar = bar(args.json)?;
    let mut report = Report {
        from,
        to,
        made_at: now,
        workspace: lifecycle.name.clone(),
        root: Json::Null,
        faults: Vec::new(),
        versions: versions(store, out, (from, to)).await?,
        // How customers stand is known of now alone.
        adherence: platform::adherence::read(store, &lifecycle, By::Standard, span, now).await?,
        breaches: Vec::new(),
        waivers: Vec::new(),
        by_hand: Vec::new(),
        roots: Vec::new(),
        people: BTreeMap::new(),
    };
    for version in report.versions.iter().filter(|version| version.applied_at >= from) {
        if let Some(author) = &version.author {
            *report.people.entry(author.clone()).or_default().entry("apply".into()).or_default() +=
                1;
        }
    }
    let mut journals = Journals::new(out, &mut report)?;
    let faults = verify(store, to, &bar, |place| journals.take(place)).await?.found;
    let entries = journals.finish()?;
    let fault = |one: &Found| format!("{}: entry {} {}", one.customer.id(), one.number, one.fault);
    report.faults = faults.iter().map(fault).collect();
    bar.finish_and_clear();
    let order = |one: &Breach| (one.opened_at, one.customer.clone(), one.seq);
    report.breaches.sort_by_cached_key(order);
    write(out, &report)?;
    let seal = pack::seal(out)?;
    let verified = report.faults.is_empty();
    let mut stdout = std::io::stdout();
    if args.json {
        let told = json!({
            "folder": out, "from": from, "to": to, "seal": seal, "root": report.root["hash"],
            "entries": entries, "breaches": report.breaches.len(), "waivers": report.waivers.len(),
            "verified": verified,
        });
        writeln!(stdout, "{told}")?;
    } else {
        let breaches = report.breaches.len();
        writeln!(stdout, "{}: {entries} entries, {breaches} breaches", out.display())?;
        for fault in &report.faults {
            writeln!(stdout, "{fault}")?;
        }
        writeln!(stdout, "seal {seal}")?;
        writeln!(stdout, "Verify it with `lifecycle audit verify --pack {}`.", out.display())?;
    }
    Ok(if verified { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The versions that were in force in the period, their files written.
async fn versions(
    store: &Store,
    out: &Path,
    (from, to): (Timestamp, Timestamp),
) -> Result<Vec<Version>> {
    let mut all = store.configuration_versions().await?;
    all.sort_by_key(|one| one.version);
    let mut versions = Vec::new();
    for (at, one) in all.iter().enumerate() {
        let until = all.get(at + 1).map(|next| next.applied_at);
        if one.applied_at >= to || until.is_some_and(|until| until <= from) {
            continue;
        }
        let path = out.join(VERSIONS).join(format!("lifecycle-{}.yaml", one.version));
        fs::write(&path, &one.source)
            .with_context(|| format!("cannot write {}", path.display()))?;
        versions.push(Version {
            version: one.version,
            hash: one.hash.clone(),
            applied_at: one.applied_at,
            until,
            author: one.by.author.clone(),
            message: one.by.message.clone(),
            standards: standards(one),
        });
    }
    Ok(versions)
}

/// The standards of a version; none where it no longer loads.
fn standards(version: &Configuration) -> Vec<Json> {
    let Ok(lifecycle) = load(&version.source) else { return Vec::new() };
    let standards = lifecycle.standards.iter();
    let told = standards.map(|standard| {
        json!({
            "name": standard.name,
            "kind": standard.promise.word(),
            "severity": standard.severity.as_str(),
            "owner": standard.owner,
        })
    });
    told.collect()
}

/// Takes in all journals as they are verified: writes the entries of the period and the last ones.
struct Journals<'a> {
    report: &'a mut Report,
    entries: BufWriter<fs::File>,
    heads: csv::Writer<fs::File>,
    count: u64,
    hashes: Vec<String>,
    open: Option<Head>,
    /// Where the breach of a standard is that is open of the journal that is read.
    broken: HashMap<String, usize>,
}

impl<'a> Journals<'a> {
    fn new(out: &Path, report: &'a mut Report) -> Result<Journals<'a>> {
        let create = |name: &str| {
            let path = out.join(name);
            fs::File::create(&path).with_context(|| format!("cannot write {}", path.display()))
        };
        Ok(Journals {
            report,
            entries: BufWriter::new(create(ENTRIES)?),
            heads: csv::Writer::from_writer(create(HEADS)?),
            count: 0,
            hashes: Vec::new(),
            open: None,
            broken: HashMap::new(),
        })
    }

    fn take(&mut self, place: &JournalPlace) -> Result<()> {
        let entry = place.entry.as_ref().filter(|entry| entry.at < self.report.to);
        let Some(entry) = entry else { return Ok(()) };
        let customer = place.key.id().to_owned();
        if self.open.as_ref().is_some_and(|head| head.customer != customer) {
            self.broken.clear();
            self.end()?;
        }
        let (seq, hash) = (entry.seq, entry.hash.clone());
        self.open = Some(Head { customer: customer.clone(), seq, hash });
        self.report.take(&customer, entry, &mut self.broken);
        if entry.at >= self.report.from {
            self.count += 1;
            let line = Line { customer, entry: entry.clone() };
            serde_json::to_writer(&mut self.entries, &line)?;
            self.entries.write_all(b"\n")?;
        }
        Ok(())
    }

    /// Notes where the journal that was read last ends.
    fn end(&mut self) -> Result<()> {
        if let Some(head) = self.open.take() {
            self.heads.serialize(&head)?;
            self.hashes.push(head.hash);
        }
        Ok(())
    }

    /// How many entries the period has.
    fn finish(mut self) -> Result<u64> {
        self.end()?;
        self.heads.flush()?;
        self.entries.flush()?;
        let hash = root(self.hashes.iter().map(String::as_str).collect());
        let journals = self.hashes.len();
        self.report.root = json!({ "hash": hash, "journals": journals, "before": self.report.to });
        Ok(self.count)
    }
}

impl Report {
    fn take(&mut self, customer: &str, entry: &JournalEntry, broken: &mut HashMap<String, usize>) {
        let is_in = entry.at >= self.from;
        if is_in && entry.kind == ChangeKind::Root {
            let days = days_of(entry);
            self.roots.push(DailyRoot {
                seq: entry.seq,
                at: entry.at,
                entries: days.values().sum(),
                through: days.into_keys().next_back(),
                tree: entry.to.clone(),
                hash: entry.hash.clone(),
            });
        }
        if entry.kind == ChangeKind::Finding {
            let standard = entry.rule.strip_prefix("standards.").unwrap_or(&entry.rule);
            match entry.to.as_deref() {
                // It was waived meanwhile, and goes on.
                Some("open") if broken.contains_key(standard) => {}
                // One from before that stays open is a breach of this period as well.
                Some("open") => {
                    broken.insert(standard.to_owned(), self.breaches.len());
                    self.breaches.push(Breach {
                        customer: customer.to_owned(),
                        standard: standard.to_owned(),
                        seq: entry.seq,
                        opened_at: entry.at,
                        closed_at: None,
                        evidence: evidence(entry),
                    });
                }
                _ => {
                    if let Some(at) = broken.remove(standard) {
                        match is_in {
                            true => self.breaches[at].closed_at = Some(entry.at),
                            // It was over before: the last one takes its place.
                            false => {
                                self.breaches.swap_remove(at);
                                broken.values_mut().for_each(|place| {
                                    if *place == self.breaches.len() {
                                        *place = at;
                                    }
                                });
                            }
                        }
                    }
                }
            }
        }
        let (true, Some(author)) = (is_in, &entry.author) else { return };
        let told = ByHand {
            at: entry.at,
            customer: customer.to_owned(),
            seq: entry.seq,
            kind: entry.kind.as_str(),
            rule: entry.rule.clone(),
            from: entry.from.clone(),
            to: entry.to.clone(),
            author: author.clone(),
            reason: entry.reason.clone(),
            until: entry.until,
        };
        let kinds = self.people.entry(author.clone()).or_default();
        *kinds.entry(entry.kind.as_str().to_owned()).or_default() += 1;
        if entry.kind == ChangeKind::Waiver {
            self.waivers.push(told.clone());
        }
        self.by_hand.push(told);
    }
}

/// The reasons of an entry in a line.
fn evidence(entry: &JournalEntry) -> String {
    let reasons = entry.reasons.iter().map(|reason| {
        let inputs = reason.inputs.iter().map(|(name, value)| format!("{name} = {value}"));
        let inputs: Vec<String> = inputs.collect();
        match inputs.is_empty() {
            true => reason.expression.clone(),
            false => format!("{} ({})", reason.expression, inputs.join(", ")),
        }
    });
    reasons.collect::<Vec<_>>().join("; ")
}

fn write(out: &Path, report: &Report) -> Result<()> {
    let file = |name: &str, bytes: &[u8]| {
        let path = out.join(name);
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
    };
    file(REPORT, &serde_json::to_vec_pretty(report)?)?;
    file("report.html", page::page(report).as_bytes())?;
    file("verify.py", include_bytes!("verify.py"))?;
    table(out, "breaches.csv", &report.breaches)?;
    table(out, "waivers.csv", &report.waivers)?;
    table(out, "by_hand.csv", &report.by_hand)?;
    table(out, "roots.csv", &report.roots)?;
    table(out, "adherence.csv", &report.adherence)?;
    let versions: Vec<_> = report.versions.iter().map(|one| json!({
        "version": one.version, "hash": one.hash, "applied_at": one.applied_at, "until": one.until,
        "author": one.author, "message": one.message,
    })).collect();
    table(out, "versions.csv", &versions)
}

/// Rows as CSV. What a spreadsheet would take for a formula begins with an apostrophe.
fn table<T: Serialize>(out: &Path, name: &str, rows: &[T]) -> Result<()> {
    let path = out.join(name);
    let said = || format!("cannot write {}", path.display());
    let mut table = csv::Writer::from_path(&path).with_context(said)?;
    for (at, row) in rows.iter().enumerate() {
        let Json::Object(row) = serde_json::to_value(row)? else { continue };
        if at == 0 {
            table.write_record(row.keys()).with_context(said)?;
        }
        let cells = row.values().map(|cell| match cell {
            Json::Null => String::new(),
            Json::String(text) if text.starts_with(['=', '+', '-', '@', '\t', '\r']) => {
                format!("'{text}")
            }
            Json::String(text) => text.clone(),
            other => other.to_string(),
        });
        table.write_record(cells).with_context(said)?;
    }
    table.flush().with_context(said)
}
