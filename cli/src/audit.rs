//! `lifecycle audit`: whether every journal is as it was written, and what a third party is given of it.

mod pack;
mod page;
mod report;
mod roots;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};
use domain::audit::{Chain, Fault, days_of, root};
use domain::journal::{JournalEntry, JournalHead};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use platform::store::{CustomerFilter, JournalPlace};
use platform::{CustomerKey, Store};
use serde_json::json;

use crate::clock::LocalClock;
use crate::target::{Target, TargetArgs};

/// How many customers are read at once.
const PAGE: i32 = 1_000;

/// Prove that nobody changed what was decided
#[derive(Debug, Args)]
pub struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    Verify(VerifyArgs),
    Report(report::ReportArgs),
}

/// Check every journal entry by its hash, and every journal by where its customer's state ends
#[derive(Debug, Args)]
#[command(
    long_about = "Reads all journals and checks each entry by its hash, that it follows from the one \
before, and that the journal ends where its customer's state says. What was changed, removed, put \
elsewhere or added is named.\n\n\
Every night `comply` makes a root over what was decided the day before, chained to the one before it: an \
entry, or a whole journal, that went since then is named with the day, even where its customer went too.\n\n\
It also prints a root: one hash over the last entries of all journals as of an instant. Keep it where \
nobody who can write the tables can, and give it back with --root and --until: then a journal that was \
replaced as a whole is found, too. Erasing a customer's personal data does not change it.",
    after_long_help = "Examples:\n  \
lifecycle audit verify --json > audit-2026-11.json\n  \
lifecycle audit verify --until 2026-11-01T00:00:00Z --root 4d1c…\n  \
lifecycle audit verify --daily-root 9b0e…     one that was kept elsewhere is still there: the\n  \
                                              `hash` of an object in the bucket of `RootLock`\n  \
lifecycle audit verify --pack audit-2026-q3 --seal 4d1c…      a pack of `audit report`, without the tables\n\n\
With --json, one object on standard output:\n  \
{\"verified\", \"entries\", \"journals\", \"until\", \"root\", \"root_holds\": true|false|null,\n   \
\"roots\": {\"count\", \"through\", \"last\"}, \"daily_root_holds\": true|false|null,\n   \
\"faults\": [{\"customer\", \"seq\", \"code\", \"message\"}]}\n\n\
Exit codes: 0 all verify, 1 something does not, or could not be read, 2 wrong use."
)]
struct VerifyArgs {
    /// The root is of all entries up to this instant [default: now]
    #[arg(long, value_name = "INSTANT")]
    until: Option<Timestamp>,
    /// Fail unless this is the root
    #[arg(long, value_name = "HASH", requires = "until")]
    root: Option<String>,
    /// Fail unless one of the daily roots has this hash
    #[arg(long, value_name = "HASH")]
    daily_root: Option<String>,
    /// Verify this audit pack instead of the tables
    #[arg(long, value_name = "DIR", conflicts_with_all = ["until", "root", "daily_root", "data", "aws"])]
    pack: Option<PathBuf>,
    /// Fail unless this is the pack's seal
    #[arg(long, value_name = "HASH", requires = "pack")]
    seal: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

/// A fault and whose journal it is in.
struct Found {
    customer: CustomerKey,
    number: u64,
    fault: Fault,
}

/// What was read.
#[derive(Default)]
struct Audit {
    entries: u64,
    journals: u64,
    /// The hash of the last entry of each journal by the instant in question.
    lasts: Vec<String>,
    /// How many entries there are of each day, but for roots.
    days: BTreeMap<String, u64>,
    /// The daily roots, the oldest first.
    roots: Vec<JournalEntry>,
    found: Vec<Found>,
}

/// Does what the arguments ask for.
///
/// # Errors
/// When the data cannot be opened or the tables cannot be read.
pub async fn run(args: AuditArgs) -> Result<ExitCode> {
    let args = match args.command {
        AuditCommand::Verify(args) => args,
        AuditCommand::Report(args) => return report::run(args).await,
    };
    if let Some(folder) = &args.pack {
        return verify_pack(folder, &args);
    }
    let target = Target::open(&args.target).await?;
    let until = args.until.unwrap_or_else(|| LocalClock::system().now());
    let bar = bar(args.json)?;
    let audit = verify(&target.store, until, &bar, |_| Ok(())).await?;
    bar.finish_and_clear();

    let hash = root(audit.lasts.iter().map(String::as_str).collect());
    let root_holds = args.root.as_ref().map(|expected| expected.eq_ignore_ascii_case(&hash));
    let daily_root_holds = args
        .daily_root
        .as_ref()
        .map(|expected| audit.roots.iter().any(|root| expected.eq_ignore_ascii_case(&root.hash)));
    let verified =
        audit.found.is_empty() && root_holds != Some(false) && daily_root_holds != Some(false);
    let through = audit.roots.last().and_then(|last| days_of(last).into_keys().next_back());
    let mut out = std::io::stdout();
    if args.json {
        let faults = audit.found.iter().map(|found| {
            json!({
                "customer": found.customer.id(),
                "seq": found.number,
                "code": found.fault.code(),
                "message": found.fault.to_string(),
            })
        });
        let report = json!({
            "verified": verified,
            "entries": audit.entries,
            "journals": audit.journals,
            "until": until,
            "root": hash,
            "root_holds": root_holds,
            "roots": {
                "count": audit.roots.len(),
                "through": through,
                "last": audit.roots.last().map(|last| &last.hash),
            },
            "daily_root_holds": daily_root_holds,
            "faults": faults.collect::<Vec<_>>(),
        });
        writeln!(out, "{report}")?;
    } else {
        for found in &audit.found {
            let id = found.customer.id();
            writeln!(out, "{id}: entry {} {}", found.number, found.fault)?;
        }
        let what = if verified { "verified" } else { "NOT verified" };
        writeln!(out, "{} entries of {} journals: {what}", audit.entries, audit.journals)?;
        match root_holds {
            Some(false) => writeln!(out, "root as of {until}: {hash}, which is not the one given")?,
            _ => writeln!(out, "root as of {until}: {hash}")?,
        }
        match (audit.roots.last(), through) {
            (Some(last), Some(day)) => {
                let count = audit.roots.len();
                writeln!(out, "{count} daily roots, through {day}: the last is {}", last.hash)?;
            }
            _ => writeln!(out, "no daily root: `comply` makes them")?,
        }
        if daily_root_holds == Some(false) {
            writeln!(out, "the daily root that was given is not there")?;
        }
    }
    Ok(if verified { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn bar(is_json: bool) -> Result<ProgressBar> {
    let bar = match std::io::stderr().is_terminal() && !is_json {
        true => ProgressBar::new_spinner(),
        false => ProgressBar::hidden(),
    };
    bar.set_style(ProgressStyle::with_template("  {spinner} {pos} entries, {per_sec}")?);
    Ok(bar)
}

fn verify_pack(folder: &Path, args: &VerifyArgs) -> Result<ExitCode> {
    let found = pack::verify(folder)?;
    let seal_holds = args.seal.as_ref().map(|seal| seal.eq_ignore_ascii_case(&found.seal));
    let verified = found.faults.is_empty() && seal_holds != Some(false);
    let mut out = std::io::stdout();
    if args.json {
        let told = json!({
            "verified": verified, "entries": found.entries, "seal": found.seal,
            "seal_holds": seal_holds, "faults": found.faults,
        });
        writeln!(out, "{told}")?;
    } else {
        for fault in &found.faults {
            writeln!(out, "{fault}")?;
        }
        let what = if verified { "verified" } else { "NOT verified" };
        writeln!(out, "{} entries: {what}", found.entries)?;
        let other = if seal_holds == Some(false) { ", which is not the one given" } else { "" };
        writeln!(out, "seal {}{other}", found.seal)?;
    }
    Ok(if verified { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Reads where the customers' states end, then all journals: one that goes on meanwhile is longer
/// than its customer was, never shorter. Whoever wants the entries `sees` each place on the way.
async fn verify(
    store: &Store,
    until: Timestamp,
    bar: &ProgressBar,
    mut sees: impl FnMut(&JournalPlace) -> Result<()>,
) -> Result<Audit> {
    let heads = heads(store).await?;
    let mut audit = Audit::default();
    let mut seen = HashSet::new();
    let mut open: Option<(CustomerKey, Chain, Option<String>)> = None;
    let mut cursor = None;
    loop {
        let page = store.journals(cursor.as_deref()).await?;
        bar.inc(page.items.len() as u64);
        for place in page.items {
            sees(&place)?;
            if open.as_ref().is_none_or(|(key, ..)| *key != place.key) {
                if let Some((key, chain, last)) = open.take() {
                    end(store, &mut audit, &heads, &key, &chain, last).await?;
                    seen.insert(key);
                }
                open = Some((place.key.clone(), Chain::default(), None));
            }
            let Some((key, chain, last)) = &mut open else { continue };
            read(&mut audit, &place, chain, heads.get(key));
            match &place.entry {
                Some(root) if place.key.is_roots() => audit.roots.push(root.clone()),
                _ => *audit.days.entry(place.day.clone()).or_default() += 1,
            }
            if let Some(entry) = place.entry.filter(|entry| entry.at <= until) {
                *last = Some(entry.hash);
            }
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    if let Some((key, chain, last)) = open {
        end(store, &mut audit, &heads, &key, &chain, last).await?;
        seen.insert(key);
    }
    for (key, head) in heads.iter().filter(|(key, head)| head.seq > 0 && !seen.contains(*key)) {
        let found = Chain::default().ends(head);
        audit.found.extend(found.map(|(number, fault)| Found {
            customer: key.clone(),
            number,
            fault,
        }));
    }
    roots::verify(store, &mut audit).await?;
    audit
        .found
        .sort_by(|a, b| (a.customer.as_str(), a.number).cmp(&(b.customer.as_str(), b.number)));
    Ok(audit)
}

/// Where each customer's state says that its journal ends.
async fn heads(store: &Store) -> Result<HashMap<CustomerKey, JournalHead>> {
    let mut heads = HashMap::new();
    let mut cursor = None;
    loop {
        let page = store.customers(&CustomerFilter::default(), PAGE, cursor.as_deref()).await?;
        heads.extend(page.items.into_iter().map(|one| (one.key, one.customer.status.journal)));
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(heads);
        }
    }
}

fn read(audit: &mut Audit, place: &JournalPlace, chain: &mut Chain, head: Option<&JournalHead>) {
    audit.entries += 1;
    let fault = chain.follow(place.number, place.entry.as_ref());
    let foreign = head.and_then(|head| chain.contradicts(head));
    audit.found.extend(fault.into_iter().chain(foreign).map(|(number, fault)| Found {
        customer: place.key.clone(),
        number,
        fault,
    }));
}

async fn end(
    store: &Store,
    audit: &mut Audit,
    heads: &HashMap<CustomerKey, JournalHead>,
    key: &CustomerKey,
    chain: &Chain,
    last: Option<String>,
) -> Result<()> {
    audit.journals += 1;
    audit.lasts.extend(last);
    // Of one that was erased nothing but the journal is left.
    let Some(head) = heads.get(key) else { return Ok(()) };
    let mut ends = chain.ends(head);
    if chain.number > head.seq {
        // Decided about meanwhile, it should be.
        ends = chain.ends(&store.customer(key).await?.customer.status.journal);
        ends = ends.filter(|(_, fault)| *fault == Fault::Foreign);
    }
    audit.found.extend(ends.map(|(number, fault)| Found { customer: key.clone(), number, fault }));
    Ok(())
}
