//! The overview: who is at risk, why, what to do next, and whether the team keeps its standards.
//!
//! It shows the newest picture and reads no customer, so that a look costs the same however many there
//! are.

use axum::extract::State;
use domain::overview::{Named, Overview, Part, SPANS, SpanPart};
use maud::{Markup, html};
use serde::Deserialize;
use std::sync::Arc;

use super::layout::{Nav, Page};
use super::{Failure, View, show};
use crate::App;
use crate::feeds::FeedState;
use crate::page::{PageRequest, Parameters, given};
use crate::problem::Problem;

const DEFAULT_DAYS: u32 = 30;
const FEEDS: u16 = 12;
/// At most so many ways of moving are shown.
const MOVES: usize = 12;

/// Which part of which picture.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    days: Option<String>,
    segment: Option<String>,
}

/// What others have in a year: medians by the size of contracts, from the lowest to the highest.
struct Benchmark {
    low: f64,
    high: f64,
}

/// SaaS Capital, "2023 B2B SaaS Retention Benchmarks" (Research Brief 28), figure 1: medians of companies
/// above 1 million dollars a year, by annual contract value.
const GROSS: Benchmark = Benchmark { low: 0.90, high: 0.93 };
const NET: Benchmark = Benchmark { low: 1.00, high: 1.10 };

impl Benchmark {
    /// A line from 60 to 120 %, the stretch of others on it, and a mark.
    fn beside(&self, yearly: f64) -> Markup {
        let place = |rate: f64| ((rate - 0.6) / 0.6).clamp(0.0, 1.0) * 100.0;
        let (low, high, own) = (place(self.low), place(self.high), place(yearly));
        html! {
            svg.bar.beside viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" {
                rect.track width="100" height="8" rx="1" {}
                rect.others x=(format!("{low:.1}")) width=(format!("{:.1}", high - low)) height="8" {}
                rect.own x=(format!("{:.1}", own.min(98.5))) width="1.5" height="8" {}
            }
            span { "others: " (show::percent(self.low)) " to " (show::percent(self.high)) }
        }
    }
}

struct Shown<'v> {
    view: &'v View,
    segment: Option<String>,
    days: u32,
    overview: &'v Overview,
    part: &'v Part,
    span: &'v SpanPart,
}

/// The page.
pub(super) async fn overview(
    State(app): State<Arc<App>>,
    view: View,
    Parameters(asked): Parameters<Asked>,
) -> Result<Page, Failure> {
    let days = match given(asked.days) {
        None => DEFAULT_DAYS,
        Some(text) => SPANS
            .into_iter()
            .find(|days| days.to_string() == text)
            .ok_or_else(|| Problem::bad("invalid_days", "`days` is one of 7, 30 and 90"))?,
    };
    let segment = given(asked.segment);
    if let Some(name) = &segment
        && !view.lifecycle.segments.iter().any(|segment| segment.name == *name)
    {
        let known = view.lifecycle.segments.iter().map(|segment| segment.name.as_str());
        return Err(Problem::unknown("unknown_segment", "segment", name, known).into());
    }
    let feeds = crate::feeds::feeds(State(Arc::clone(&app)), PageRequest::new(FEEDS, None)).await?;
    let feeds = feeds.0.items;
    let picture = app.store.overview().await?;
    let part = picture.as_ref().and_then(|picture| picture.part(segment.as_deref()));
    let span = part.and_then(|part| part.spans.iter().find(|span| span.days == days));
    let body = match (&picture, part, span) {
        (Some(overview), Some(part), Some(span)) if overview.parts[0].customers > 0 => {
            Shown { view: &view, segment, days, overview, part, span }.body(&feeds)
        }
        (Some(overview), ..) if overview.parts.first().is_some_and(|all| all.customers == 0) => {
            nobody_yet(&feeds, &view)
        }
        _ => html! {
            section.card {
                (show::empty("The picture is being taken.", "It is taken anew every few minutes; this page looks again by itself."))
                p { a href="/customers" { "Customers" } " are there already." }
            }
            (feed_health(&feeds, &view))
        },
    };
    Ok(view.page(Nav::Overview, "Overview", body).looking_again())
}

fn nobody_yet(feeds: &[FeedState], view: &View) -> Markup {
    html! {
        section.card {
            (show::empty("There are no customers yet.", "They come with their first event."))
            p { "Send one with a write key, as in " a href="/setup" { "Setup" } ", or import what you have: "
                code { "lifecycle import company.jsonl" } "." }
        }
        (feed_health(feeds, view))
    }
}

impl Shown<'_> {
    fn href(&self, change: (&str, &str)) -> String {
        let days = if self.days == DEFAULT_DAYS { String::new() } else { self.days.to_string() };
        let mut all = [("days", days), ("segment", self.segment.clone().unwrap_or_default())];
        for (name, value) in &mut all {
            if *name == change.0 {
                change.1.clone_into(value);
            }
        }
        show::href("/", &[(all[0].0, &all[0].1), (all[1].0, &all[1].1)])
    }

    /// Customers of the part that is shown, and like this.
    fn customers(&self, parameters: &[(&str, &str)]) -> String {
        let mut all = vec![("segment", self.segment.as_deref().unwrap_or_default())];
        all.extend(parameters);
        show::href("/customers", &all)
    }

    fn body(&self, feeds: &[FeedState]) -> Markup {
        html! {
            p.sub { "As of " (show::time(self.overview.at)) ", " (show::distance(self.overview.at, self.view.now)) "." }
            (self.choose())
            @if let Some(since) = self.overview.partial_since {
                p.warning { "There is more history than one picture holds: moves and standards are told since " (show::day(since)) "." }
            }
            (self.tiles())
            (self.sources())
            div.grid {
                section.card.s8 { h2 { "Look at these first" } (self.first()) }
                div.stack.s4 {
                    section.card { h2 { "Churn risk" } (self.bands()) }
                    section.card { h2 { "Who has what to do" } (self.owners()) }
                }
                section.card.s7 { h2 { "Stages" } (self.stages()) }
                section.card.s5 { h2 { "Who moved in " (self.days) " days" } (self.moves()) }
                section.card.s7 { h2 { "Standards kept in " (self.days) " days" } (self.standards()) }
                div.stack.s5 { (feed_health(feeds, self.view)) }
            }
        }
    }

    fn choose(&self) -> Markup {
        let segments = self.overview.parts.iter().filter_map(|part| part.segment.as_deref());
        html! {
            nav.tabs aria-label="Period and segment" {
                @for days in SPANS {
                    a href=(self.href(("days", &days.to_string()))) aria-current=[(days == self.days).then_some("true")] { (days) " days" }
                }
                                a href=(self.href(("segment", ""))) aria-current=[self.segment.is_none().then_some("true")] { "everybody" }
                @for name in segments {
                    a href=(self.href(("segment", name))) aria-current=[(self.segment.as_deref() == Some(name)).then_some("true")] { (show::words(name)) }
                }
            }
        }
    }

    fn tiles(&self) -> Markup {
        let (part, span) = (self.part, self.span);
        let sum =
            |of: fn(&domain::adherence::Row) -> u64| span.adherence.iter().map(of).sum::<u64>();
        let rates: Vec<f64> = span.adherence.iter().filter_map(|row| row.adherence).collect();
        let kept = (!rates.is_empty()).then(|| rates.iter().sum::<f64>() / rates.len() as f64);
        let overdue: u64 = part.owners.iter().map(|owner| owner.overdue).sum();
        let risky: u64 =
            part.risk.iter().skip(part.risk.len().div_ceil(2)).map(|(_, count)| count).sum();
        let has_lost = self.view.lifecycle.stages.iter().any(|stage| stage.is_lost);
        html! {
            ul.tiles {
                li { a href=(self.customers(&[])) {
                    b { (show::number(part.active as f64)) }
                    span { "customers" @if part.customers > part.active { ", and " (show::number((part.customers - part.active) as f64)) " lost" } }
                } }
                @if let (Some(at_risk), Some(value)) = (part.at_risk, part.value) {
                    li { a href=(self.customers(&[("sort", "revenue_at_risk")])) {
                        b { (self.view.money(at_risk)) }
                        span { "at risk" @if value > 0.0 { ", " (show::percent(at_risk / value)) " of " (self.view.money(value)) } }
                    } }
                }
                li { a href=(self.customers(&[("sort", "risk")])) {
                    b { (show::number(risky as f64)) } span { "in the upper bands of risk" } } }
                @if has_lost {
                    li {
                        b { @if span.begun_with > 0 { (format!("{:.1} %", span.lost as f64 * 100.0 / span.begun_with as f64)) } @else { "–" } }
                        span { "left in " (self.days) " days: " (span.lost) " of " (show::number(span.begun_with as f64))
                            @if span.lost_value > 0.0 { ", worth " (self.view.money(span.lost_value)) } }
                    }
                }
                @if let Some(retained) = &span.retained {
                    (self.retention("gross retention", retained.gross(), retained.unknown, &GROSS))
                    (self.retention("net retention", retained.net(), retained.unknown, &NET))
                }
                @if !self.view.lifecycle.standards.is_empty() {
                    li {
                        b { @match kept { Some(kept) => (show::percent(kept)), None => "–" } }
                        span { "of standards kept, on average" }
                    }
                    li { a href=(self.customers(&[("open", "finding")])) {
                        b { (show::number(sum(|row| row.open) as f64)) } span { "open findings, " (sum(|row| row.at_risk)) " soon due" } } }
                }
                li { a href=(self.customers(&[("open", "overdue")])) {
                    b class=[(overdue > 0).then_some("late")] { (show::number(overdue as f64)) } span { "overdue tasks" } } }
            }
        }
    }

    /// How much of the value is still there, and what that comes to in a year beside what others have.
    fn retention(&self, name: &str, rate: Option<f64>, unknown: u64, others: &Benchmark) -> Markup {
        let yearly = rate.map(|rate| rate.powf(365.0 / f64::from(self.days)));
        html! {
            li {
                b { @match rate { Some(rate) => (format!("{:.1} %", rate * 100.0)), None => "–" } }
                span { (name) " in " (self.days) " days"
                    @if let Some(yearly) = yearly { ", " (show::percent(yearly)) " a year at this pace" }
                    @if unknown > 0 { "; " (show::number(unknown as f64)) " unknown" } }
                @if let Some(yearly) = yearly { (others.beside(yearly)) }
            }
        }
    }

    fn sources(&self) -> Markup {
        html! {
            @if self.span.retained.is_some() {
                p.quiet { "Retention is of what those were worth who were there " (self.days) " days ago"
                    @if let Some(at) = self.overview.worth_at { ", as of " (show::time(at)) }
                    ". The shaded stretch is the median of private B2B software companies, from the smallest contracts to the \
                     largest: SaaS Capital, Research Brief 28, 2023 B2B SaaS Retention Benchmarks." }
            }
        }
    }

    fn first(&self) -> Markup {
        if self.part.first.is_empty() {
            return show::empty(
                "Nobody is above the lowest band of risk.",
                "Risk is assessed every night.",
            );
        }
        html! {
            div.scroll { table.cards {
                thead { tr {
                    th scope="col" { "Customer" } th scope="col" { "Risk" }
                    @if self.part.at_risk.is_some() { th.n scope="col" { "At risk" } }
                    th scope="col" { "Why" } th scope="col" { "Next" }
                } }
                tbody { @for one in &self.part.first { (self.named(one)) } }
            } }
            p { a href=(self.customers(&[])) { "All customers, the most at risk first" } }
        }
    }

    fn named(&self, one: &Named) -> Markup {
        let now = self.view.now;
        let is_late = one.task_due.is_some_and(|due| due < now);
        html! {
            tr {
                th scope="row" { (show::customer(&one.id, one.name.as_deref()))
                    @if let Some(stage) = &one.stage { div.quiet { (show::words(stage)) } } }
                td data-label="Risk" { span.nw { (show::percent(one.probability)) " "
                    (show::chip(show::risk_tone(&self.view.lifecycle, &one.band), &one.band)) } }
                @if self.part.at_risk.is_some() {
                    td.n data-label="At risk" { @match one.at_risk { Some(amount) => (self.view.money(amount)), None => "–" } }
                }
                td data-label="Why" { (one.why.as_deref().map_or("nothing in particular".to_owned(), |why| show::words(&why.replace("metrics.", "")))) }
                td data-label="Next" { span {
                    @match &one.task {
                        Some(task) => {
                            (task)
                            @if let Some(owner) = &one.task_owner { span.quiet { ", " (owner) } }
                            @if let Some(due) = one.task_due { ", " span class=(if is_late { "late" } else { "quiet" }) { "due " (show::distance(due, now)) } }
                        },
                        None if one.findings > 0 => a href={ (show::customer_href(&one.id)) "#findings" } { (one.findings) " open finding" @if one.findings > 1 { "s" } },
                        None => a href=(show::customer_href(&one.id)) { "look at why" },
                    }
                } }
            }
        }
    }

    fn bands(&self) -> Markup {
        let part = self.part;
        let all: u64 = part.risk.iter().map(|(_, count)| count).sum();
        if all == 0 {
            return show::empty(
                "Nobody was assessed yet.",
                "Risk is assessed every night, where the lifecycle file says how.",
            );
        }
        html! {
            table {
                tbody { @for (band, count) in part.risk.iter().rev() { tr {
                    th scope="row" { a href=(self.customers(&[("band", band)])) { (show::words(band)) } }
                    td.n { (show::number(*count as f64)) }
                    td.w-bar { (show::bar(*count as f64 / all as f64, show::risk_tone(&self.view.lifecycle, band))) }
                } } }
            }
            @if !part.health.is_empty() {
                h3 { "Health" }
                p.row { @for (band, count) in &part.health {
                    span { (show::chip(show::health_tone(&self.view.lifecycle, band), band)) " " (show::number(*count as f64)) }
                } }
            }
        }
    }

    fn owners(&self) -> Markup {
        if self.part.owners.is_empty() {
            return show::empty(
                "Nothing is open.",
                "Findings and tasks show here by who has them.",
            );
        }
        html! {
            div.scroll { table {
                thead { tr { th scope="col" { "Owner" } th.n scope="col" { "Findings" } th.n scope="col" { "Tasks" } th.n scope="col" { "Overdue" } } }
                tbody { @for owner in self.part.owners.iter().take(8) { tr {
                    th scope="row" { a href=(self.customers(&[("owner", &owner.owner)])) { @if owner.owner.is_empty() { "nobody" } @else { (owner.owner) } } }
                    td.n { (owner.findings) } td.n { (owner.tasks) }
                    td.n { span class=[(owner.overdue > 0).then_some("late")] { (owner.overdue) } }
                } } }
            } }
            @if self.part.owners.len() > 8 { p.quiet { "and " (self.part.owners.len() - 8) " more" } }
        }
    }

    fn came_to(&self, stage: &str) -> u64 {
        let moves = self.span.moves.iter().filter(|(_, to, _)| to == stage);
        moves.map(|(_, _, count)| count).sum()
    }

    fn left(&self, stage: &str) -> u64 {
        let moves = self.span.moves.iter().filter(|(from, _, _)| from.as_deref() == Some(stage));
        moves.map(|(_, _, count)| count).sum()
    }

    fn stages(&self) -> Markup {
        let most = self.part.stages.iter().map(|stage| stage.customers).max().unwrap_or(0).max(1);
        html! {
            div.scroll { table.cards {
                thead { tr {
                    th scope="col" { "Stage" } th.n scope="col" { "Customers" } th.w-bar scope="col" { span.quiet { "Share" } }
                    th.n scope="col" { "In" } th.n scope="col" { "Out" }
                    th.n scope="col" { "Median" } th.n scope="col" { "Target" } th.n scope="col" { "Beyond" }
                } }
                tbody { @for stage in &self.part.stages {
                    @let known = self.view.lifecycle.stage(&stage.stage);
                    tr {
                        th scope="row" { a href=(self.customers(&[("stage", &stage.stage)])) { (show::words(&stage.stage)) } }
                        td.n data-label="Customers" { (show::number(stage.customers as f64)) }
                        td.w-bar data-label="" { (show::bar(stage.customers as f64 / most as f64, "")) }
                        td.n data-label="In" { (self.came_to(&stage.stage)) }
                        td.n data-label="Out" { (self.left(&stage.stage)) }
                        td.n data-label="Median" { @match stage.median_days { Some(days) => { (format!("{days:.0}")) " d" }, None => "–" } }
                        td.n data-label="Target" { @match known.and_then(|known| known.target) { Some(target) => (target), None => span.quiet { "–" } } }
                        td.n data-label="Beyond" {
                            @if stage.behind > stage.stuck { a href=(self.customers(&[("stage", &stage.stage), ("pace", "behind")])) { (stage.behind - stage.stuck) " behind" } " " }
                            @if stage.stuck > 0 { a.late href=(self.customers(&[("stage", &stage.stage), ("pace", "stuck")])) { (stage.stuck) " stuck" } }
                            @if stage.behind == 0 { span.quiet { "–" } }
                        }
                    }
                } }
            } }
        }
    }

    fn moves(&self) -> Markup {
        let moves = &self.span.moves;
        if moves.is_empty() {
            return show::empty("Nobody moved.", "Choose a longer period.");
        }
        let most = moves.iter().map(|(_, _, count)| *count).max().unwrap_or(1).max(1);
        html! {
            table {
                thead { tr { th scope="col" { "From" } th scope="col" { "To" } th.n scope="col" { "Customers" } th.w-bar scope="col" { span.quiet { "Share" } } } }
                tbody { @for (from, to, count) in moves.iter().take(MOVES) { tr {
                    td { @match from { Some(from) => (show::words(from)), None => span.quiet { "new" } } }
                    td { (show::words(to)) } td.n { (show::number(*count as f64)) }
                    td.w-bar { (show::bar(*count as f64 / most as f64, "")) }
                } } }
            }
            @if moves.len() > MOVES { p.quiet { "and " (moves.len() - MOVES) " rarer ways; " a href="/journey" { "the journey" } " has them all" } }
        }
    }

    fn standards(&self) -> Markup {
        if self.view.lifecycle.standards.is_empty() {
            return show::empty(
                "The lifecycle file has no standards.",
                "Under `standards:` it says what the company promised itself.",
            );
        }
        html! {
            div.scroll { table.cards {
                thead { tr {
                    th scope="col" { "Standard" } th.n scope="col" { "Kept" } th.w-bar scope="col" { span.quiet { "Share" } }
                    th.n scope="col" { "Met" } th.n scope="col" { "Broken" } th.n scope="col" { "Open" }
                    th.n scope="col" { "Soon due" } th scope="col" { "Owner" }
                } }
                tbody { @for row in &self.span.adherence {
                    @let known = self.view.lifecycle.standard(&row.group);
                    @let rate = row.adherence.unwrap_or(1.0);
                    @let tone = if rate >= 0.95 { "tone-0" } else if rate >= 0.8 { "tone-1" } else { "tone-3" };
                    tr {
                        th scope="row" { (show::words(&row.group)) }
                        td.n data-label="Kept" { @match row.adherence { Some(rate) => (show::percent(rate)), None => span.quiet { "–" } } }
                        td.w-bar data-label="" { @if row.adherence.is_some() { (show::bar(rate, tone)) } }
                        td.n data-label="Met" { (show::number(row.met as f64)) }
                        td.n data-label="Broken" { (show::number(row.breached as f64)) }
                        td.n data-label="Open" { (show::number(row.open as f64)) @if row.waived > 0 { span.quiet { ", " (row.waived) " waived" } } }
                        td.n data-label="Soon due" { (row.at_risk) }
                        td data-label="Owner" { (known.map_or("–", |known| known.owner.as_str())) }
                    }
                } }
            } }
        }
    }
}

/// Sources of events, the late ones first.
fn feed_health(feeds: &[FeedState], view: &View) -> Markup {
    let mut feeds: Vec<&FeedState> = feeds.iter().collect();
    feeds.sort_by_key(|feed| !feed.late);
    html! {
        section.card {
            h2 { "Sources of events" }
            @if feeds.is_empty() { (show::empty("Nothing has sent an event yet.", "The setup page says how.")) }
            @else {
                table { tbody { @for feed in feeds.iter().take(6) { tr {
                    th scope="row" { (feed.name) }
                    td { @if feed.late { (show::chip("tone-3", "late")) } @else if feed.last_received_at.is_some() { (show::chip("tone-0", "alive")) } @else { (show::chip("", "silent")) } }
                    td.n { @match feed.last_received_at { Some(at) => (show::distance(at, view.now)), None => "never" } }
                } } } }
                p { a href="/setup" { "All sources, and what was set aside" } }
            }
        }
    }
}
