//! A plan as text for a person, and as JSON for a program.

use std::collections::BTreeMap;

use domain::explain::{reads, said};
use domain::journal::Reason;
use domain::lifecycle::Lifecycle;
use domain::plan::{Both, Difference, Move, Plan, Weight};
use jiff::Timestamp;
use serde_json::{Value as Json, json};

use super::Limit;
use super::models::Models;

/// A plan and what it is of.
pub(super) struct Report<'a> {
    pub(super) plan: &'a Plan,
    pub(super) active: (&'a str, &'a Lifecycle),
    pub(super) proposed: (&'a str, &'a Lifecycle),
    pub(super) models: &'a Models,
    pub(super) at: Timestamp,
    pub(super) months: u32,
    pub(super) steps: usize,
    pub(super) revenue: Option<&'a str>,
    pub(super) limit: Option<Limit>,
    pub(super) seconds: f64,
    pub(super) peak_rss_bytes: Option<u64>,
}

/// Money to the cent.
fn cents(amount: f64) -> f64 {
    (amount * 100.0).round() / 100.0
}

impl Report<'_> {
    pub(super) fn is_exceeded(&self) -> bool {
        self.limit.is_some_and(|limit| limit.is_exceeded(self.plan))
    }

    /// Why CI is red: the limit, and the customers.
    pub(super) fn complaint(&self) -> String {
        let limit = self.limit.map(|limit| limit.to_string()).unwrap_or_default();
        let plan = self.plan;
        let mut text = format!(
            "error: {} of {} customers ({:.1} %) would move, more than --max-moves {limit}",
            plan.moved.customers,
            plan.customers,
            plan.share() * 100.0
        );
        if plan.lost.customers > 0 {
            text.push_str(&format!(
                "; {} of them pay and would be taken for churned",
                plan.lost.customers
            ));
        }
        text.push_str(":\n");
        for one in &plan.named {
            text.push_str(&format!("  {}\n", self.line(one)));
        }
        let more = plan.moved.customers.saturating_sub(plan.named.len() as u64);
        if more > 0 {
            text.push_str(&format!("  and {more} more\n"));
        }
        text.trim_end().to_owned()
    }

    /// `Acme (acct-1, mrr 900): adopting → churned`.
    pub(super) fn line(&self, one: &Move) -> String {
        let pays = match self.revenue {
            Some(revenue) => format!(", {revenue} {}", said(&json!(cents(one.revenue)))),
            None => String::new(),
        };
        let stage = |stage: &Option<String>| stage.clone().unwrap_or_else(|| "none".to_owned());
        let id = printable(&one.id);
        let name = one.name.as_deref().map_or_else(|| id.clone(), printable);
        let mark = if one.is_lost && one.is_paying { "! " } else { "" };
        format!("{mark}{name} ({id}{pays}): {} → {}", stage(&one.active), stage(&one.proposed))
    }

    pub(super) fn why(one: &Move) -> String {
        let reasons: Vec<String> =
            one.reasons.iter().map(|reason| printable(&reads(reason))).collect();
        let whose = if one.by_proposed { "" } else { " of the active file" };
        format!("{}{whose}: {}", one.rule, reasons.join("; "))
    }

    pub(super) fn json(&self) -> Json {
        let plan = self.plan;
        let weight = |weight: &Weight| json!({ "customers": weight.customers, "revenue": cents(weight.revenue) });
        let by_stage: Vec<Json> = plan
            .by_stage
            .iter()
            .map(|((from, to), moved)| {
                json!({ "from": from, "to": to, "customers": moved.customers,
                    "revenue": cents(moved.revenue) })
            })
            .collect();
        let by_segment: Vec<Json> = plan
            .by_segment
            .iter()
            .map(|(segment, moved)| {
                json!({ "segment": segment, "customers": moved.customers,
                    "revenue": cents(moved.revenue) })
            })
            .collect();
        let both = |both: &Both| json!({ "active": both.active, "proposed": both.proposed });
        let course: Vec<Json> = plan
            .course
            .iter()
            .map(|(at, stages)| {
                let stages: BTreeMap<&String, Json> =
                    stages.iter().map(|(stage, count)| (stage, both(count))).collect();
                json!({ "at": at, "stages": stages })
            })
            .collect();
        json!({
            "active": {
                "version": self.active.1.version,
                "hash": self.active.1.hash,
                "risk": self.models.active.json(),
            },
            "proposed": {
                "file": self.proposed.0,
                "hash": self.proposed.1.hash,
                "risk": self.models.proposed.json(),
            },
            "notes": self.models.notes(),
            "at": self.at,
            "months": self.months,
            "steps": self.steps,
            "customers": plan.customers,
            "events": plan.events,
            "empty": plan.is_empty(),
            "moves": {
                "customers": plan.moved.customers,
                "share": plan.share(),
                "revenue": cents(plan.moved.revenue),
                "paying_lost": weight(&plan.lost),
                "by_stage": by_stage,
                "by_segment": by_segment,
            },
            "findings": findings(&plan.findings_now),
            "tasks": tasks(&plan.tasks_now),
            "alerts": alerts(&plan.alerts_now),
            "history": {
                "customers": plan.paths_differ,
                "moves": both(&plan.moves),
                "flapping": both(&plan.flaps),
                "findings": findings(&plan.findings),
                "tasks": tasks(&plan.tasks),
                "alerts": alerts(&plan.alerts),
                "course": course,
            },
            "affected": plan.named.iter().map(affected).collect::<Vec<Json>>(),
            "limit": self.limit.map(|limit| {
                json!({ "max_moves": limit.to_string(), "exceeded": self.is_exceeded() })
            }),
            "seconds": self.seconds,
            "peak_rss_bytes": self.peak_rss_bytes,
        })
    }

    pub(super) fn text(&self, is_colored: bool) -> String {
        let paint = |code: &str, text: &str| match is_colored {
            true => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            false => text.to_owned(),
        };
        let plan = self.plan;
        let mut text = format!(
            "{} against {}, as of {}\n{} customers, {} events, {} weekly runs over {} months\n",
            paint("1", self.proposed.0),
            self.active.0,
            self.at,
            plan.customers,
            plan.events,
            self.steps,
            self.months
        );
        text.push_str(&self.by_what_risk());
        for note in self.models.notes() {
            text.push_str(&format!("note: {note}\n"));
        }
        if plan.is_empty() {
            text.push_str("\nNothing would change.\n");
            return text;
        }
        text.push_str(&format!("\n{}\n", paint("1", "Now")));
        text.push_str(&format!(
            "  {} customers would move ({:.1} %){}\n",
            plan.moved.customers,
            plan.share() * 100.0,
            self.pays(&plan.moved)
        ));
        if plan.lost.customers > 0 {
            let lost = format!(
                "  {} paying customers would be taken for churned{}\n",
                plan.lost.customers,
                self.pays(&plan.lost)
            );
            text.push_str(&paint("31", &lost));
        }
        for ((from, to), moved) in &plan.by_stage {
            text.push_str(&format!(
                "    {:>6}  {from} → {to}{}\n",
                moved.customers,
                self.pays(moved)
            ));
        }
        if !plan.by_segment.is_empty() {
            let segments: Vec<String> = plan
                .by_segment
                .iter()
                .map(|(segment, moved)| format!("{segment} {}", moved.customers))
                .collect();
            text.push_str(&format!("    by segment: {}\n", segments.join(", ")));
        }
        text.push_str(&differences(&plan.findings_now, "findings", |standard| standard.clone()));
        text.push_str(&differences(&plan.tasks_now, "tasks", |task| task.clone()));
        text.push_str(&differences(&plan.alerts_now, "alerts", |(to, kind)| {
            format!("{kind} to {to}")
        }));
        if !plan.named.is_empty() {
            text.push_str(&format!("\n{}\n", paint("1", "Most affected")));
        }
        for one in &plan.named {
            text.push_str(&format!("  {}\n      {}\n", self.line(one), Self::why(one)));
        }
        text.push_str(&format!("\n{}\n", paint("1", &format!("Over {} months", self.months))));
        text.push_str(&format!(
            "  the path of {} customers differs; moves {} → {}; flapping {} → {}\n",
            plan.paths_differ,
            plan.moves.active,
            plan.moves.proposed,
            plan.flaps.active,
            plan.flaps.proposed
        ));
        text.push_str(&differences(&plan.findings, "findings", |standard| standard.clone()));
        text.push_str(&differences(&plan.tasks, "tasks", |task| task.clone()));
        text.push_str(&differences(&plan.alerts, "alerts", |(to, kind)| format!("{kind} to {to}")));
        text
    }

    /// What was learnt that tells risk, where anything was.
    pub(super) fn by_what_risk(&self) -> String {
        let Models { active, proposed, .. } = self.models;
        match (active.is_fitted(), proposed.is_fitted()) {
            (false, false) => String::new(),
            _ if active == proposed => format!("risk by {}\n", active.words()),
            _ => format!("risk by {} → {}\n", or_none(&active.words()), or_none(&proposed.words())),
        }
    }

    pub(super) fn pays(&self, weight: &Weight) -> String {
        match self.revenue {
            Some(revenue) => format!(", {revenue} {}", said(&json!(cents(weight.revenue)))),
            None => String::new(),
        }
    }
}

fn or_none(words: &str) -> &str {
    if words.is_empty() { "none" } else { words }
}

/// What appears or vanishes, a line each.
fn differences<K>(
    all: &BTreeMap<K, Difference>,
    what: &str,
    name: impl Fn(&K) -> String,
) -> String {
    let differ = all.iter().filter(|(_, one)| one.appear > 0 || one.vanish > 0);
    let line = |(key, one): (&K, &Difference)| {
        format!("    {what}: {}: {} appear, {} vanish\n", name(key), one.appear, one.vanish)
    };
    differ.map(line).collect()
}

/// What came from outside, without what a terminal could take for a command.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn difference(mut named: Json, one: &Difference) -> Json {
    named["active"] = one.made.active.into();
    named["proposed"] = one.made.proposed.into();
    named["appear"] = one.appear.into();
    named["vanish"] = one.vanish.into();
    named
}

fn findings(all: &BTreeMap<String, Difference>) -> Vec<Json> {
    all.iter().map(|(standard, one)| difference(json!({ "standard": standard }), one)).collect()
}

fn tasks(all: &BTreeMap<String, Difference>) -> Vec<Json> {
    all.iter().map(|(task, one)| difference(json!({ "task": task }), one)).collect()
}

fn alerts(all: &BTreeMap<(String, String), Difference>) -> Vec<Json> {
    let named = |(receiver, kind): &(String, String)| json!({ "receiver": receiver, "kind": kind });
    all.iter().map(|(key, one)| difference(named(key), one)).collect()
}

fn affected(one: &Move) -> Json {
    let reason = |reason: &Reason| json!(reason);
    json!({
        "id": one.id,
        "name": one.name,
        "revenue": cents(one.revenue),
        "paying": one.is_paying,
        "lost": one.is_lost,
        "segments": one.segments,
        "present": one.present,
        "active": one.active,
        "proposed": one.proposed,
        "rule": one.rule,
        "by": if one.by_proposed { "proposed" } else { "active" },
        "reasons": one.reasons.iter().map(reason).collect::<Vec<Json>>(),
    })
}
