//! `lifecycle train` without a table: learns who leaves from the workspace's own history, proves it, and
//! goes by it if it is no worse than what is gone by.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use domain::learn::{Learning, MOST_SNAPSHOTS, Verdict};
use domain::lifecycle::Lifecycle;
use jiff::Timestamp;
use platform::learn::{Kept, Lesson, Limits, keep, learn};
use platform::store::Learnt;
use risk::drift::InTheLarge;
use risk::reason::percent;
use serde_json::{Value as Json, json};

use super::card;
use super::train::{Args, progress_bar, step};
use crate::clock::LocalClock;
use crate::configuration::activate;
use crate::target::Target;

/// Learns, prints the card, and keeps what was learnt unless it is a dry run.
///
/// # Errors
/// When the workspace cannot be read or written, or there is nothing to learn.
pub async fn run(args: &Args, out: &mut impl Write) -> Result<ExitCode> {
    let clock = LocalClock::system();
    let now = clock.now();
    let at = args.at.unwrap_or(now);
    let target = Target::open(&args.workspace).await?;
    let store = &target.store;
    if let Some(config) = &args.config {
        activate(store, Some(config), "b2b-saas", now).await?;
    }
    let lifecycle = store.lifecycle().await.context("there is no workspace to learn from")?;
    let bar = progress_bar();
    let limits = Limits {
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        snapshots: MOST_SNAPSHOTS,
        deadline: None,
    };
    let lesson = learn(store, &lifecycle, at, limits, &|done, all| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    })
    .await?;
    bar.finish_and_clear();
    let kept = match args.dry_run {
        true => None,
        false => Some(keep(store, &lesson, now).await?),
    };
    if let (Some(file), Some(trained)) = (&args.card, &lesson.learning.trained) {
        std::fs::write(file, card::page(trained))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    if let Some(file) = &args.out {
        std::fs::write(file, lesson.learning.fitted.to_json())
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    match args.json {
        true => writeln!(out, "{}", answer(&lesson, kept.as_ref()))?,
        false => report(&lesson, kept.as_ref(), &lifecycle, out)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn report(
    lesson: &Lesson,
    kept: Option<&Kept>,
    lifecycle: &Lifecycle,
    out: &mut impl Write,
) -> Result<()> {
    let Learning { fitted, trained, material, verdict, watch, notes } = &lesson.learning;
    let params = &fitted.rhythm.params;
    if let Some(learned) = lifecycle.learned() {
        writeln!(
            out,
            "{}: who leaves within {} days, told {} days ahead\n{} customers, {} snapshots of {} days, {} \
             of them before leaving\n",
            lesson.name,
            learned.horizon_days,
            learned.lead_days,
            material.customers,
            material.snapshots,
            material.days,
            material.left,
        )?;
    }
    writeln!(
        out,
        "Rhythm of {} customers (BG/NBD, in days): r {:.4}, alpha {:.4}, a {:.4}, b {:.4}",
        fitted.customers, params.r, params.alpha, params.a, params.b
    )?;
    if let Some(trained) = trained {
        writeln!(out)?;
        card::write(trained, out)?;
    }
    if let Some(later) = fitted.knowledge.as_ref().and_then(|known| known.later) {
        let figures = later.figures;
        writeln!(
            out,
            "\nOn the last period ({}), learnt from what was known before it: {} of {} left ({}); AUC {}, \
             log-loss {:.4}, Brier {:.4}, lift {}",
            day(later.day),
            later.left,
            later.rows,
            percent(later.left as f64 / later.rows.max(1) as f64),
            figures.auc.map_or_else(|| "-".to_owned(), |auc| format!("{auc:.4}")),
            figures.log_loss,
            figures.brier,
            figures.lift10.map_or_else(|| "-".to_owned(), |lift| format!("{lift:.2}")),
        )?;
    }
    if let (Some(watch), Some(champion)) = (watch, &lesson.champion) {
        let InTheLarge { predicted, observed, deviates } = watch.came_true;
        writeln!(
            out,
            "Version {} there: predicted {}, observed {} ({deviates:+.1} standard errors); drift of its \
             scores {:.3}{} (chance alone stays below {:.3}).",
            champion.version,
            percent(predicted),
            percent(observed),
            watch.scores.psi,
            if watch.scores.is_drift { ", other than in training" } else { "" },
            watch.scores.by_chance
        )?;
    }
    // The card has those of the training.
    let said = trained.as_ref().map(|trained| trained.notes.as_slice()).unwrap_or_default();
    for note in notes.iter().filter(|note| !said.contains(note)) {
        writeln!(out, "note: {note}")?;
    }
    writeln!(out, "\n{}", ending(verdict, kept, lesson.champion.as_ref()))?;
    Ok(())
}

/// What becomes of it, as a sentence.
fn ending(verdict: &Verdict, kept: Option<&Kept>, champion: Option<&Learnt>) -> String {
    let why = match (verdict, champion) {
        (Verdict::First | Verdict::Untried, None) => "nothing was learnt before".to_owned(),
        (Verdict::First, Some(_)) => "what was learnt before is of something else".to_owned(),
        (Verdict::Untried, Some(_)) => {
            "there is too little to compare it with what was learnt before".to_owned()
        }
        (Verdict::NoWorse { log_loss, champion }, _) => {
            format!("log-loss {log_loss:.4} on the last period, against {champion:.4}")
        }
        (Verdict::Worse { log_loss, champion }, _) if log_loss.is_finite() => {
            format!("log-loss {log_loss:.4} on the last period, against {champion:.4}")
        }
        (Verdict::Worse { .. }, _) => "it knows less than what was learnt before".to_owned(),
    };
    match (kept, champion) {
        (None, _) if verdict.is_for() => format!("Dry run: it would be gone by ({why})."),
        (None, _) => format!("Dry run: it would not be gone by ({why})."),
        (Some(kept), _) if kept.is_champion => {
            format!("Version {}: risk is told by it from now on ({why}).", kept.learnt.version)
        }
        (Some(kept), Some(champion)) => format!(
            "Version {} is kept and not gone by: version {} stays ({why}). `lifecycle models promote {}` \
             says otherwise.",
            kept.learnt.version, champion.version, kept.learnt.version
        ),
        (Some(kept), None) => format!(
            "Version {} is kept and not gone by: another was, at the same moment.",
            kept.learnt.version
        ),
    }
}

fn day(at: Timestamp) -> String {
    at.to_string()[..10].to_owned()
}

fn answer(lesson: &Lesson, kept: Option<&Kept>) -> Json {
    let Learning { fitted, trained, material, verdict, watch, notes } = &lesson.learning;
    let rung = trained.as_ref().map(|trained| &trained.rungs[trained.chosen]);
    let ladder = trained.iter().flat_map(|trained| trained.rungs.iter().map(step));
    json!({
        "model": lesson.name,
        "kind": rung.map_or("alive", |rung| rung.kind.name()),
        "rung": rung.map(|rung| rung.name),
        "customers": material.customers,
        "snapshots": material.snapshots,
        "days": material.days,
        "left": material.left,
        "rhythm": fitted.rhythm.params,
        "log_likelihood": fitted.rhythm.log_likelihood,
        "mean": rung.map(|rung| rung.mean),
        "pooled": rung.map(|rung| rung.pooled),
        "ece_floor": rung.map(|rung| rung.floor),
        "later": fitted.knowledge.as_ref().and_then(|known| known.later),
        "ladder": ladder.collect::<Vec<_>>(),
        "verdict": verdict,
        "watch": watch,
        "promoted": kept.is_some_and(|kept| kept.is_champion),
        "version": kept.map(|kept| kept.learnt.version),
        "champion": lesson.champion.as_ref().map(|champion| champion.version),
        "dry_run": kept.is_none(),
        "artifact_bytes": fitted.to_json().len(),
        "hash": fitted.hash(),
        "notes": notes,
    })
}
