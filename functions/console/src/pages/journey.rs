//! The lifecycle file as a map: stages and the ways between them, with who went them, and beside it what
//! each stage asks for. It is there to be printed for a kick-off.

use axum::extract::State;
use domain::lifecycle::{Lifecycle, Stage};
use domain::overview::Part;
use maud::{Markup, html};
use std::collections::BTreeMap;
use std::sync::Arc;

use super::layout::{Nav, Page};
use super::{Failure, View, show};
use crate::App;

/// The picture's measures, in its own units.
const WIDTH: f64 = 820.0;
const BOX: (f64, f64) = (220.0, 46.0);
const LEFT: f64 = 300.0;
const STEP: f64 = 84.0;
/// The span of history that is counted, in days.
const DAYS: u32 = 90;

/// A way from one stage to another.
struct Way {
    from: usize,
    to: usize,
    count: u64,
}

/// The page.
pub(super) async fn journey(State(app): State<Arc<App>>, view: View) -> Result<Page, Failure> {
    let picture = app.store.overview().await?;
    let part = picture.as_ref().and_then(|picture| picture.part(None));
    let lifecycle = &view.lifecycle;
    let ways = ways(lifecycle, part);
    let body = html! {
        p.sub { "Stages in the order of the lifecycle file. Numbers are customers now, and on the arrows moves within " (DAYS) " days." }
        section.card { div.drawing tabindex="0" role="region" aria-label="Map of stages" { (drawing(lifecycle, part, &ways)) } }
        section.card {
            details { summary.more { "The moves as a table" } (table(lifecycle, &ways)) }
        }
        div.grid { @for stage in &lifecycle.stages { (card(lifecycle, stage, part)) } }
    };
    Ok(view.page(Nav::Journey, "Journey", body))
}

/// Every way that the file names or somebody went; where a stage has no exits any way is open, and
/// those that nobody went are not drawn.
fn ways(lifecycle: &Lifecycle, part: Option<&Part>) -> Vec<Way> {
    let place = |name: &str| lifecycle.stages.iter().position(|stage| stage.name == name);
    let mut ways: BTreeMap<(usize, usize), u64> = BTreeMap::new();
    for (from, stage) in lifecycle.stages.iter().enumerate() {
        let exits = stage.exits.iter().flatten().map(|exit| exit.to.as_str());
        let leave = stage.leave.iter().map(|leave| leave.to.as_str());
        for to in exits.chain(leave).filter_map(place) {
            ways.insert((from, to), 0);
        }
        let came_from = stage.enter.iter().flat_map(|enter| enter.from.iter().flatten());
        for before in came_from.filter_map(|name| place(name)) {
            ways.insert((before, from), 0);
        }
    }
    let span = part.and_then(|part| part.spans.iter().find(|span| span.days == DAYS));
    for (from, to, count) in span.iter().flat_map(|span| &span.moves) {
        if let (Some(from), Some(to)) = (from.as_deref().and_then(place), place(to)) {
            *ways.entry((from, to)).or_default() += count;
        }
    }
    ways.into_iter().map(|((from, to), count)| Way { from, to, count }).collect()
}

fn drawing(lifecycle: &Lifecycle, part: Option<&Part>, ways: &[Way]) -> Markup {
    let stages = &lifecycle.stages;
    let height = stages.len() as f64 * STEP;
    let most = ways.iter().map(|way| way.count).max().unwrap_or(0).max(1);
    html! {
        svg.journey viewBox={ "0 0 " (WIDTH) " " (height) } role="group" aria-label="Stages and the ways between them; the table and the cards below say the same" {
            defs { marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse" { path.head d="M0 0L8 4L0 8z" {} } }
            @for way in ways { (arrow(way, most)) }
            @for (at, stage) in stages.iter().enumerate() {
                @let y = at as f64 * STEP + 12.0;
                @let count = part.and_then(|part| part.stages.iter().find(|one| one.stage == stage.name)).map(|one| one.customers);
                a href={ "#stage-" (stage.name) } class=[stage.is_lost.then_some("lost")] {
                    rect.box x=(LEFT) y=(y) width=(BOX.0) height=(BOX.1) rx="8" {}
                    text x=(LEFT + 14.0) y=(y + 20.0) { (show::words(&stage.name)) }
                    text.small x=(LEFT + 14.0) y=(y + 36.0) {
                        @if let Some(count) = count { (show::number(count as f64)) " customers" }
                        @if let Some(owner) = &stage.owner { ", " (owner) }
                    }
                }
            }
            @for way in ways { @if way.count > 0 { (label(way)) } }
        }
    }
}

/// Where the bow of a way is: to the right on the way forward, to the left on the way back, and the
/// wider the further it leads.
fn bow(way: &Way) -> (f64, f64) {
    let far = way.from.abs_diff(way.to) as f64;
    let out = 26.0 + far.sqrt() * 52.0 + far * 8.0;
    match way.to > way.from {
        true => (LEFT + BOX.0, LEFT + BOX.0 + out),
        false => (LEFT, LEFT - out),
    }
}

fn middle(place: usize) -> f64 {
    place as f64 * STEP + 12.0 + BOX.1 / 2.0
}

fn arrow(way: &Way, most: u64) -> Markup {
    let is_next = way.to == way.from + 1;
    let path = if is_next {
        let x = LEFT + BOX.0 / 2.0;
        format!(
            "M{x} {} L{x} {}",
            middle(way.from) + BOX.1 / 2.0,
            middle(way.to) - BOX.1 / 2.0 - 1.0
        )
    } else {
        let (edge, out) = bow(way);
        let shift = if way.to > way.from { 6.0 } else { -6.0 };
        let (from, to) = (middle(way.from) + shift, middle(way.to) - shift);
        format!("M{edge} {from} C{out} {from} {out} {to} {edge} {to}")
    };
    let width = format!("{:.1}", 1.2 + 3.0 * way.count as f64 / most as f64);
    html! { path.way.busy[way.count > 0] d=(path) stroke-width=(width) marker-end="url(#head)" {} }
}

fn label(way: &Way) -> Markup {
    let (x, y) = if way.to == way.from + 1 {
        (LEFT + BOX.0 / 2.0 + 8.0, (middle(way.from) + middle(way.to)) / 2.0 + 4.0)
    } else {
        let (edge, out) = bow(way);
        let x = edge + (out - edge) * 0.75;
        (
            if way.to > way.from { x } else { x - 18.0 },
            (middle(way.from) + middle(way.to)) / 2.0 + 4.0,
        )
    };
    html! { text.count x=(format!("{x:.0}")) y=(format!("{y:.0}")) { (show::number(way.count as f64)) } }
}

fn table(lifecycle: &Lifecycle, ways: &[Way]) -> Markup {
    let name = |place: usize| show::words(&lifecycle.stages[place].name);
    html! { table {
        thead { tr { th scope="col" { "From" } th scope="col" { "To" } th.n scope="col" { "Moves" } } }
        tbody { @for way in ways { tr { td { (name(way.from)) } td { (name(way.to)) } td.n { (show::number(way.count as f64)) } } } }
    } }
}

fn card(lifecycle: &Lifecycle, stage: &Stage, part: Option<&Part>) -> Markup {
    let now = part.and_then(|part| part.stages.iter().find(|one| one.stage == stage.name));
    let metric = stage.metric.and_then(|index| lifecycle.metrics.get(index));
    let playbooks =
        lifecycle.playbooks.iter().filter(|book| book.triggers.stages.contains(&stage.name));
    let playbooks: Vec<&str> = playbooks.map(|book| book.name.as_str()).collect();
    html! {
        section.card.s4 id={ "stage-" (stage.name) } {
            div.row { h2 { (show::words(&stage.name)) }
                @if let Some(now) = now { span.end { a href=(show::href("/customers", &[("stage", &stage.name)])) { (show::number(now.customers as f64)) " customers" } } } }
            dl.facts {
                dt { "Who enters" } dd {
                    @match &stage.enter {
                        Some(enter) => {
                            (show::criterion(&enter.when.describe()))
                            @if let Some(hold) = enter.hold { " for " (hold) }
                            @if let Some(from) = &enter.from { ", from " (from.iter().map(|name| show::words(name)).collect::<Vec<_>>().join(", ")) }
                            span.quiet { ", priority " (enter.priority) }
                        },
                        None => "nobody by itself",
                    }
                }
                @if let Some(leave) = &stage.leave { dt { "Who leaves" } dd { (show::criterion(&leave.when.describe())) @if let Some(hold) = leave.hold { " for " (hold) } ", to " (show::words(&leave.to)) } }
                @if let Some(exits) = &stage.exits { dt { "Ways out" } dd { (exits.iter().map(|exit| show::words(&exit.to)).collect::<Vec<_>>().join(", ")) } }
                @if let Some(owner) = &stage.owner { dt { "Owner" } dd { (owner) } }
                @if let Some(handoff) = &stage.handoff { dt { "Handed to" } dd { (handoff.to) @if let Some(within) = handoff.ack_within { ", within " (within) } } }
                @if let Some(metric) = metric { dt { "Measured by" } dd { (show::words(&metric.name)) } }
                @if stage.target.is_some() || stage.stuck.is_some() { dt { "Time" } dd {
                    @if let Some(target) = stage.target { "target " (target) }
                    @if let Some(stuck) = stage.stuck { ", stuck after " (stuck) }
                    @if let Some(days) = now.and_then(|now| now.median_days) { span.quiet { " (median now " (format!("{days:.0}")) " d)" } }
                } }
                @if !stage.checkpoints.is_empty() { dt { "Checkpoints" } dd { @for one in &stage.checkpoints { div { (show::words(&one.name)) ": " (show::criterion(&one.when.describe())) @if let Some(target) = one.target { ", within " (target) } } } } }
                @if !playbooks.is_empty() { dt { "Playbooks" } dd { (playbooks.join(", ")) } }
                @if stage.is_lost { dt { "Lost" } dd { "customers here have left" } }
            }
        }
    }
}
