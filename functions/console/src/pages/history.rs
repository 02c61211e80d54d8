//! Health, risk and metrics over time: the customer's log lived through again, under the present file.

use std::collections::BTreeMap;

use domain::event::Event;
use domain::facts::Facts;
use domain::journal::{ChangeKind, JournalEntry};
use domain::lifecycle::Lifecycle;
use domain::replay::Replay;
use domain::score;
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, PreEscaped, html};
use serde_json::json;

use super::show;

/// How far back is looked, and in how many steps.
const DAYS: i64 = 180;
const STEPS: i64 = 36;
/// At most so many moments are marked.
const MOST_MARKS: usize = 40;
/// What came so often or less is marked, the newest of it.
const SELDOM: usize = 3;
const MOST_EVENTS: usize = 20;

/// A customer over time.
pub(super) struct History {
    points: Vec<Point>,
    /// What seldom happened: when, and what.
    rare: Vec<(Timestamp, String)>,
}

struct Point {
    at: Timestamp,
    health: Option<f64>,
    risk: Option<f64>,
    metrics: Vec<Option<f64>>,
}

/// Lives through a log that is in order, from its beginning or from half a year ago.
pub(super) fn history(lifecycle: &Lifecycle, log: &[Event], now: Timestamp) -> History {
    let Some(first) = log.first() else { return History { points: Vec::new(), rare: Vec::new() } };
    let back = now.saturating_sub(SignedDuration::from_hours(24 * DAYS)).unwrap_or(first.at);
    let from = back.max(first.at).min(now);
    let span = now.duration_since(from).as_secs();
    let mut replay = Replay::new(lifecycle, log);
    let instants = (0..=STEPS)
        .filter_map(|step| Timestamp::from_second(from.as_second() + span * step / STEPS).ok());
    let points = instants.map(|at| {
        let at = at.max(from);
        replay.until(at);
        let facts = Facts::new(&replay.customer, lifecycle, at);
        Point {
            at,
            health: score::health(&facts).map(|health| health.score),
            risk: score::risk(&facts).map(|risk| risk.probability * 100.0),
            metrics: (0..lifecycle.metrics.len()).map(|index| facts.metric(index)).collect(),
        }
    });
    History { points: points.collect(), rare: rare(log, from) }
}

/// Events of names that came at most [`SELDOM`] times since an instant: what happens every day is in the
/// lines already.
fn rare(log: &[Event], from: Timestamp) -> Vec<(Timestamp, String)> {
    let within = || log.iter().filter(|event| from <= event.at);
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for event in within() {
        *counts.entry(event.name.as_str()).or_default() += 1;
    }
    let rare = within().filter(|event| counts[event.name.as_str()] <= SELDOM);
    let mut rare: Vec<(Timestamp, String)> =
        rare.map(|event| (event.at, event.name.clone())).collect();
    rare.drain(..rare.len().saturating_sub(MOST_EVENTS));
    rare
}

impl History {
    /// The line of a metric.
    pub(super) fn spark(&self, metric: usize) -> Markup {
        let values = self.points.iter().map(|point| point.metrics.get(metric).copied().flatten());
        show::spark(&values.collect::<Vec<_>>())
    }

    /// A chart with the moves and the changes of the file marked on it, and a table that says the same.
    pub(super) fn chart(&self, journal: &[JournalEntry]) -> Markup {
        if self.points.len() < 2 {
            return show::empty("No history yet.", "It grows with every event.");
        }
        let rounded = |value: Option<f64>| value.map(|value| (value * 10.0).round() / 10.0);
        let line = |label: &str, of: fn(&Point) -> Option<f64>| {
            let values: Vec<Option<f64>> = self.points.iter().map(|at| rounded(of(at))).collect();
            let is_known = values.iter().any(Option::is_some);
            is_known.then(|| json!({ "label": label, "values": values }))
        };
        let series = [line("Health", |at| at.health), line("Churn risk, %", |at| at.risk)];
        let times: Vec<i64> = self.points.iter().map(|point| point.at.as_second()).collect();
        let data = json!({
            "times": times,
            "series": series.into_iter().flatten().collect::<Vec<_>>(),
            "marks": self.marks(journal).iter().map(|(at, kind, _)| {
                json!({ "at": at.as_second(), "kind": kind })
            }).collect::<Vec<_>>(),
        });
        // A `<` could end the element; in JSON it may be written otherwise.
        let data = data.to_string().replace('<', "\\u003c");
        html! {
            script type="application/json" id="history" { (PreEscaped(data)) }
            div.chart data-of="history" role="img" aria-label="Health and churn risk over time: the table below has the numbers" {}
            p.quiet { "Dashed lines: grey for moves, yellow for moves by hand, green for another lifecycle file, blue for \
                events that seldom come. Told by the present file, from the events." }
            details { summary.more { "As a table" }
                div.scroll tabindex="0" role="region" aria-label="Health and churn risk over time" {
                    table {
                        thead { tr { th scope="col" { "Day" } th.n scope="col" { "Health" } th.n scope="col" { "Churn risk" } } }
                        tbody {
                            @for point in self.points.iter().rev().step_by(3) {
                                tr {
                                    td { (show::day(point.at)) }
                                    td.n { (point.health.map_or("–".to_owned(), |score| format!("{score:.0}"))) }
                                    td.n { (point.risk.map_or("–".to_owned(), |risk| format!("{risk:.0} %"))) }
                                }
                            }
                        }
                    }
                }
                h3 { "What is marked" }
                ul.plain { @for (at, kind, what) in self.marks(journal) { li {
                    (show::day(at)) ": " @match kind {
                        "hand" => { "moved by hand to " (show::words(&what)) },
                        "move" => { "moved to " (show::words(&what)) },
                        _ => (what),
                    }
                } } }
            }
        }
    }

    /// What is marked, newest first.
    fn marks(&self, journal: &[JournalEntry]) -> Vec<(Timestamp, &'static str, String)> {
        let mut marks = marks(journal);
        marks.extend(self.rare.iter().map(|(at, name)| (*at, "event", name.clone())));
        marks.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
        marks
    }
}

/// What is marked: moves, those by hand, and the first decision under another file; newest first.
fn marks(journal: &[JournalEntry]) -> Vec<(Timestamp, &'static str, String)> {
    let mut marks = Vec::new();
    for (at, entry) in journal.iter().enumerate() {
        let before = journal.get(at + 1);
        if before.is_some_and(|before| before.config_hash != entry.config_hash) {
            marks.push((entry.at, "rules", "another lifecycle file".to_owned()));
        }
        if entry.kind == ChangeKind::Stage {
            let kind = if entry.author.is_some() { "hand" } else { "move" };
            marks.push((entry.at, kind, entry.to.clone().unwrap_or_default()));
        }
    }
    marks.truncate(MOST_MARKS);
    marks
}
