//! The sample: 18 months of a shop's purchases, lived through stretch by stretch.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write};
use std::time::{Duration, Instant};

use anyhow::Result;
use domain::event::Event;
use domain::score;
use domain::stakes;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::{SignedDuration, Timestamp, ToSpan};
use platform::CustomerKey;
use platform::store::CustomerFilter;
use platform::sweep::SweepKind;
use serde_json::json;

use crate::import::cdnow;
use crate::pack::{Pack, SweepFunction};

/// Stages are evaluated once in so many days of the sample.
const STEP_DAYS: i64 = 14;
/// Risk and standards once in so many steps.
const STEPS_PER_SCORE: u64 = 2;

/// Loads the sample, runs the schedules through it, and prints what came of it.
pub async fn play(pack: &Pack, is_json: bool) -> Result<()> {
    let began = Instant::now();
    let today = pack.clock.now();
    let last_day = jiff::tz::TimeZone::UTC.to_datetime(today).date().saturating_sub(1.day());
    let events = cdnow::purchases(cdnow::SAMPLE, last_day, today);
    let total = events.len() as u64;
    let bar = match std::io::stderr().is_terminal() && !is_json {
        true => ProgressBar::new(total),
        false => ProgressBar::hidden(),
    };
    let style = ProgressStyle::with_template("  {bar:30} {pos}/{len} purchases, {msg}")?;
    bar.set_style(style);

    let manual = pack.clock.clone();
    let mut lived = Life { pack, step: 0 };
    let mut rest = events.into_iter().peekable();
    let first = rest.peek().map_or(today, |(_, event)| event.at);
    let mut until = first.saturating_add(SignedDuration::from_hours(24 * STEP_DAYS))?;
    while until < today || rest.peek().is_some() {
        let at = until.min(today);
        let mut stretch: BTreeMap<CustomerKey, Vec<Event>> = BTreeMap::new();
        while let Some((user, event)) = rest.next_if(|(_, event)| event.at <= at) {
            stretch.entry(CustomerKey::subject(&user)).or_default().push(event);
            bar.inc(1);
        }
        bar.set_message(at.to_string()[..10].to_owned());
        manual.set(Some(at));
        lived.stretch(stretch.into_iter().collect(), at).await?;
        if at == today {
            break;
        }
        until = until.saturating_add(SignedDuration::from_hours(24 * STEP_DAYS))?;
    }
    manual.set(Some(today));
    lived.stretch(Vec::new(), today).await?;
    pack.run(SweepFunction::Comply, "sample-overview", today, SweepKind::Overview).await?;
    manual.set(None);
    bar.finish_and_clear();
    report(pack, total, began.elapsed(), is_json).await
}

struct Life<'a> {
    pack: &'a Pack,
    step: u64,
}

impl Life<'_> {
    /// Events of a stretch, then the schedules at its end.
    async fn stretch(
        &mut self,
        groups: Vec<(CustomerKey, Vec<Event>)>,
        at: Timestamp,
    ) -> Result<()> {
        let lifecycle = self.pack.store.lifecycle().await?;
        self.pack.ingest.store.commit_bulk(&groups, &lifecycle, at).await?;
        self.step += 1;
        let schedule = format!("sample-{}", self.step);
        for function in [SweepFunction::Score, SweepFunction::Evaluate, SweepFunction::Comply] {
            let is_due = self.step.is_multiple_of(STEPS_PER_SCORE) || groups.is_empty();
            if is_due || function == SweepFunction::Evaluate {
                self.pack.run(function, &schedule, at, SweepKind::All).await?;
            }
        }
        self.pack.tell().await?;
        Ok(())
    }
}

/// A customer as the report shows it.
struct Risky {
    id: String,
    stage: String,
    probability: f64,
    reasons: Vec<String>,
    spend: f64,
    /// What is lost if the customer leaves, times the probability.
    revenue_at_risk: Option<f64>,
}

async fn report(pack: &Pack, events: u64, took: Duration, is_json: bool) -> Result<()> {
    let lifecycle = pack.store.lifecycle().await?;
    let mut stages = Vec::new();
    for stage in &lifecycle.stages {
        stages.push((stage.name.clone(), pack.store.count_stage(&stage.name).await?));
    }
    let top = top_risks(pack, &lifecycle).await?;
    let open = pack.store.findings("open", 1_000, None).await?;
    let mut by_standard: BTreeMap<String, u64> = BTreeMap::new();
    for finding in &open.items {
        *by_standard.entry(finding.standard.clone()).or_default() += 1;
    }
    let more = if open.next_cursor.is_some() { "+" } else { "" };
    let alerts = pack.sns.published();
    let mut out = std::io::stdout();
    if is_json {
        let risks: Vec<_> = top
            .iter()
            .map(|risky| {
                json!({ "id": risky.id, "stage": risky.stage,
                "probability": risky.probability,
                "revenue_at_risk": risky.revenue_at_risk, "reasons": risky.reasons })
            })
            .collect();
        let summary = json!({
            "sample": {
                "events": events,
                "seconds": took.as_secs_f64(),
                "stages": stages.iter().cloned().collect::<BTreeMap<String, u64>>(),
                "top_risks": risks,
                "open_findings": by_standard,
                "alerts": alerts.len(),
            }
        });
        writeln!(out, "{summary}")?;
        return Ok(out.flush()?);
    }
    writeln!(
        out,
        "The sample: {events} purchases, lived through in {:.1} s\n",
        took.as_secs_f64()
    )?;
    writeln!(out, "Stages")?;
    let most = stages.iter().map(|(_, count)| *count).max().unwrap_or(1).max(1);
    for (name, count) in &stages {
        let bar = "█".repeat(usize::try_from(count * 30 / most).unwrap_or(0));
        writeln!(out, "  {name:<10} {count:>6}  {bar}")?;
    }
    writeln!(out, "\nHighest risk among loyal customers who still buy")?;
    for Risky { id, stage, probability, reasons, spend, revenue_at_risk } in &top {
        write!(out, "  {id:<8} {:>4.0} %  {stage:<8} spent {spend:.2}", probability * 100.0)?;
        match revenue_at_risk {
            Some(amount) => writeln!(out, ", {amount:.2} at risk")?,
            None => writeln!(out)?,
        }
        for reason in reasons {
            writeln!(out, "            {reason}")?;
        }
    }
    writeln!(out, "\nOpen findings")?;
    for (standard, count) in &by_standard {
        writeln!(out, "  {standard:<18} {count}{more}")?;
    }
    writeln!(out, "\nAlerts: {} published, the last ones", alerts.len())?;
    for alert in alerts.iter().rev().take(5) {
        writeln!(out, "  {:<7} {}", alert.topic, alert.subject.as_deref().unwrap_or_default())?;
    }
    writeln!(out)?;
    Ok(out.flush()?)
}

/// The loyal customers nearest to leaving, who have not left yet.
async fn top_risks(pack: &Pack, lifecycle: &domain::lifecycle::Lifecycle) -> Result<Vec<Risky>> {
    let metric = |name: &str| lifecycle.metrics.iter().position(|metric| metric.name == name);
    let (spend, orders) = (metric("spend_total"), metric("orders_total"));
    let mut risky = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let filter = CustomerFilter::default();
        let page = pack.store.customers(&filter, 1_000, cursor.as_deref()).await?;
        for found in page.items {
            let facts = domain::facts::Facts::new(&found.customer, lifecycle, pack.clock.now());
            let value = |index: Option<usize>| index.and_then(|i| facts.metric(i)).unwrap_or(0.0);
            let (Some(risk), Some(stage)) =
                (&found.customer.status.risk, &found.customer.status.stage)
            else {
                continue;
            };
            if value(orders) >= 5.0 && !matches!(stage.name.as_str(), "lapsed" | "lost") {
                risky.push(Risky {
                    id: found.key.id().to_owned(),
                    stage: stage.name.clone(),
                    probability: risk.probability,
                    // Of the assessment that was noted.
                    reasons: score::risk(&facts.at(risk.at))
                        .into_iter()
                        .flat_map(|risk| risk.reasons.into_iter().map(|one| one.expression))
                        .collect(),
                    spend: value(spend),
                    revenue_at_risk: stakes::value(&facts).map(|value| value * risk.probability),
                });
            }
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    risky.sort_by(|a, b| b.probability.total_cmp(&a.probability).then_with(|| a.id.cmp(&b.id)));
    risky.truncate(5);
    Ok(risky)
}
