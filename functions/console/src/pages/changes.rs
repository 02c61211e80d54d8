//! Versions of the lifecycle file: who changed what and why, and the way back.

use axum::extract::State;
use maud::{Markup, html};
use platform::store::Configuration;
use serde::Deserialize;
use similar::{ChangeTag, TextDiff};
use std::sync::Arc;

use super::layout::{Nav, Page};
use super::planned::{planned, report};
use super::{Failure, View, show};
use crate::App;
use crate::page::{Parameters, given};
use crate::problem::Problem;
use crate::visitor::Role;

/// Lines around a change.
const AROUND: usize = 3;
/// At most so many versions are listed, the newest.
const VERSIONS: usize = 100;

/// Which two versions.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    from: Option<String>,
    to: Option<String>,
    plan: Option<String>,
}

/// The page.
pub(super) async fn changes(
    State(app): State<Arc<App>>,
    view: View,
    Parameters(asked): Parameters<Asked>,
) -> Result<Page, Failure> {
    let versions = app.store.configuration_versions().await?;
    let active = app.store.configuration().await?.map_or(0, |active| active.version);
    let number = |text: Option<String>| match given(text) {
        None => Ok(None),
        Some(text) => text.parse::<u64>().map(Some).map_err(|_| {
            Problem::bad("invalid_version", "`from` and `to` are numbers of versions, as 3")
        }),
    };
    let to = number(asked.to)?.unwrap_or(active);
    let from = number(asked.from)?.unwrap_or(to.saturating_sub(1));
    let of = |wanted: u64| versions.iter().find(|one| one.version == wanted);
    let plan = match given(asked.plan).and_then(|_| of(to)) {
        Some(other) => Some(planned(&view, other).await?),
        None => None,
    };
    let body = html! {
        p.sub { "A change is reviewed before it is applied: " code { "lifecycle plan lifecycle.yaml" }
            " replays it over your own history and says who would move, " code { "lifecycle apply" } " makes it active." }
        @if let Some(plan) = &plan {
            section.card #plan { h2 { "What version " (to) " would do now" } (report(plan, to)) }
        }
        div.grid {
            section.card.s5 { h2 { "Versions" } (listed(&versions, active, &view)) }
            section.card.s7 #diff {
                h2 { "What changed" }
                (choose(&versions, from, to))
                @match (of(from), of(to)) {
                    (Some(from), Some(to)) => (diff(from, to)),
                    (None, Some(to)) => { p.quiet { "The first version, whole:" } pre tabindex="0" { code { (to.source) } } },
                    _ => (show::empty("There is no such version.", "The list has those there are.")),
                }
            }
        }
    };
    Ok(view.page(Nav::Changes, "Changes", body))
}

fn listed(versions: &[Configuration], active: u64, view: &View) -> Markup {
    html! {
        ul.list { @for one in versions.iter().take(VERSIONS) { li {
            div.row { b { "Version " (one.version) }
                @if one.version == active { (show::chip("tone-0", "active")) }
                span.end { @if one.version > 1 { a href=(show::href("/changes", &[("from", &(one.version - 1).to_string()), ("to", &one.version.to_string())])) { "what changed" } }
                    @if one.version != active { " · " a href={ (show::href("/changes", &[("to", &one.version.to_string()), ("plan", "1")])) "#plan" } { "what it would do" } } } }
            p { (one.by.message.as_deref().unwrap_or("no message")) }
            p.quiet { (one.by.author.as_deref().unwrap_or("nobody named")) ", " (show::time(one.applied_at)) ", " code { (&one.hash[..12.min(one.hash.len())]) } }
            @if view.may(Role::Admin) && one.version != active {
                details.inline { summary { "Roll back to it…" }
                    form method="post" action="/do/lifecycle/rollback" data-ask={ "Make version " (one.version) " active again? Customers may move at the next run." } {
                        (view.form("/changes"))
                        input type="hidden" name="version" value=(one.version);
                        input type="hidden" name="active" value=(active);
                        p { "It becomes the active file again, as version " (active + 1) ". " a href={ (show::href("/changes", &[("to", &one.version.to_string()), ("plan", "1")])) "#plan" } { "Look first" } " at what that would do." }
                        label { "Why" input type="text" name="message" required maxlength="500"; }
                        button.danger type="submit" { "Roll back" }
                    } }
            }
        } } }
        @if versions.len() > VERSIONS { p.quiet { "The newest " (VERSIONS) "; " code { "lifecycle history" } " has all." } }
    }
}

fn choose(versions: &[Configuration], from: u64, to: u64) -> Markup {
    let select = |label: &str, name: &str, chosen: u64| {
        html! {
            label { (label) select name=(name) { @for one in versions.iter().take(VERSIONS) {
                option value=(one.version) selected[one.version == chosen] { "version " (one.version) }
            } } }
        }
    };
    html! {
        form.filters method="get" action="/changes" {
            (select("From", "from", from)) (select("To", "to", to))
            button type="submit" { "Compare" }
        }
    }
}

fn diff(from: &Configuration, to: &Configuration) -> Markup {
    let lines = TextDiff::from_lines(&from.source, &to.source);
    let groups = lines.grouped_ops(AROUND);
    html! {
        @if groups.is_empty() { (show::empty("They do not differ.", "")) }
        @else {
            pre tabindex="0" { code {
                @for (at, group) in groups.iter().enumerate() {
                    @if at > 0 { "⋯\n" }
                    @for op in group { @for change in lines.iter_changes(op) {
                        @match change.tag() {
                            ChangeTag::Insert => ins { "+ " (change.value()) },
                            ChangeTag::Delete => del { "- " (change.value()) },
                            ChangeTag::Equal => { "  " (change.value()) },
                        }
                    } }
                }
            } }
        }
    }
}
