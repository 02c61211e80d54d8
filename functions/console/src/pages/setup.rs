//! What comes in: write keys by name, sources and what they last sent, what was set aside; and what was
//! asked for in the name of a person.

use axum::extract::State;
use maud::{Markup, html};
use platform::store::WriteKey;
use std::sync::Arc;

use super::layout::{Nav, Page};
use super::{Failure, View, show};
use crate::App;
use crate::feeds::FeedState;
use crate::page::{PageRequest, Parameters};
use crate::privacy::PrivacyRequest;
use crate::quarantine::{QuarantineParameters, Quarantined};
use crate::visitor::Role;

const FEEDS: u16 = 200;
const SET_ASIDE: u16 = 50;
const REQUESTS: u16 = 20;
/// So much of what was sent is shown, in characters.
const SHOWN: usize = 1_500;

/// The page.
pub(super) async fn setup(State(app): State<Arc<App>>, view: View) -> Result<Page, Failure> {
    let state = || State(Arc::clone(&app));
    let page = |limit| PageRequest::new(limit, None);
    let keys = app.store.write_keys().await?;
    let feeds = crate::feeds::feeds(state(), page(FEEDS)).await?.0.items;
    let all = Parameters(QuarantineParameters { code: None, source: None });
    let set_aside = crate::quarantine::quarantine(state(), all, page(SET_ASIDE)).await?.0;
    let requests = crate::privacy::requests(state(), page(REQUESTS)).await?.0.items;
    let body = html! {
        div.grid {
            section.card.s7 { h2 { "Sources of events" } (sources(&feeds, &view)) }
            section.card.s5 { h2 { "Write keys" } (named(&keys)) }
        }
        section.card #quarantine {
            h2 { "Set aside" }
            (quarantine(&set_aside.items, set_aside.next_cursor.is_some(), &view))
        }
        section.card #privacy { h2 { "Asked in the name of a person" } (asked(&requests)) }
    };
    Ok(view.page(Nav::Setup, "Setup", body))
}

fn sources(feeds: &[FeedState], view: &View) -> Markup {
    html! {
        @if feeds.is_empty() {
            (show::empty("Nothing has sent an event yet.", "Send one:"))
            pre tabindex="0" { code { "curl -u WRITE_KEY: https://…/v1/track -H 'content-type: application/json' \\\n  -d '{\"userId\":\"ada\",\"event\":\"login\"}'" } }
        } @else {
            div.scroll { table.cards {
                thead { tr { th scope="col" { "Source" } th scope="col" { "How" } th scope="col" { "State" } th.n scope="col" { "Last came" } th.n scope="col" { "Its newest event" } th.n scope="col" { "24 h" } th.n scope="col" { "Set aside" } } }
                tbody { @for feed in feeds { tr {
                    th scope="row" { (feed.name) @if !feed.is_declared { " " span.quiet.id { "not in the file" } } }
                    td data-label="How" { (show::words(feed.kind)) }
                    td data-label="State" {
                        @if feed.late { (show::chip("tone-3", "late")) @if let Some(since) = feed.late_since { span.quiet { " since " (show::time(since)) } } }
                        @else if feed.last_received_at.is_some() { (show::chip("tone-0", "alive")) } @else { (show::chip("", "never heard of")) }
                        @if let Some(every) = &feed.expect_every { span.quiet { " expected every " (every) } }
                    }
                    td.n data-label="Last came" { @match feed.last_received_at { Some(at) => (show::distance(at, view.now)), None => "never" } }
                    td.n data-label="Its newest event" { @match feed.last_event_at { Some(at) => (show::time(at)), None => "–" } }
                    td.n data-label="24 h" { (show::number(feed.accepted_24h as f64)) }
                    td.n data-label="Set aside" { span class=[(feed.rejected_24h > 0).then_some("late")] { (feed.rejected_24h) } }
                } } }
            } }
        }
    }
}

fn named(keys: &[WriteKey]) -> Markup {
    html! {
        @if keys.is_empty() { (show::empty("There is none.", "Make one:")) }
        @else { table {
            thead { tr { th scope="col" { "For" } th.n scope="col" { "Made" } } }
            tbody { @for key in keys { tr { th scope="row" { (key.label) } td.n { (show::day(key.created_at)) } } } }
        } }
        pre tabindex="0" { code { "lifecycle keys add NAME\nlifecycle keys remove NAME" } }
        p.quiet { "A key is shown once, when it is made; only its hash is kept, and it reads nothing." }
    }
}

fn quarantine(items: &[Quarantined], has_more: bool, view: &View) -> Markup {
    let back = view.form("/setup#quarantine");
    html! {
        @if items.is_empty() { (show::empty("Nothing was set aside.", "What cannot be taken is kept here for 30 days, with the reason.")) }
        @else if view.may(Role::Operator) {
            form method="post" action="/do/quarantine/replay" { (back)
                input type="hidden" name="all" value="true";
                button type="submit" { "Take all of it again" } }
        }
        ul.list { @for one in items { li {
            div.row { (show::chip("tone-1", &one.code)) span { (one.message) }
                span.end.quiet { (one.source.as_deref().unwrap_or("nobody known")) ", " (show::time(one.received_at))
                    @if one.attempts > 0 { ", tried again " (one.attempts) " times" } } }
            details { summary.more { "What was sent (" (show::number(one.bytes as f64)) " bytes)" }
                pre tabindex="0" { code { (one.raw.chars().take(SHOWN).collect::<String>()) @if one.raw.chars().count() > SHOWN { "…" } } } }
            div.acts {
                @if view.may(Role::Operator) {
                    form method="post" action={ "/do/quarantine/" (one.id) "/replay" } { (back)
                        button type="submit" aria-label={ "Take again: " (one.id) } { "Take again" } }
                }
                @if view.may(Role::Admin) {
                    form method="post" action={ "/do/quarantine/" (one.id) } data-ask="Drop it for good?" { (back)
                        input type="hidden" name="_method" value="DELETE";
                        button.danger type="submit" aria-label={ "Drop: " (one.id) } { "Drop" } }
                }
            }
        } } }
        @if has_more { p.quiet { "There is more: " code { "lifecycle quarantine" } " lists all." } }
    }
}

fn asked(requests: &[PrivacyRequest]) -> Markup {
    html! {
        @if requests.is_empty() { (show::empty("Nothing was asked for.", "A customer's page erases; `lifecycle erase` does the same.")) }
        @else { div.scroll { table.cards {
            thead { tr { th scope="col" { "What" } th scope="col" { "State" } th.n scope="col" { "Done" } th.n scope="col" { "Asked" } } }
            tbody { @for one in requests { tr {
                td data-label="What" { (show::words(&word(&one.action).to_lowercase())) span.quiet { ", " (one.ids) " " (word(&one.subject)) "s" } }
                td data-label="State" { (show::chip(if word(&one.state) == "FAILED" { "tone-3" } else { "" }, &word(&one.state).to_lowercase())) }
                td.n data-label="Done" { (one.done) " of " (one.ids) }
                td.n data-label="Asked" { (show::time(one.created_at)) }
            } } }
        } } }
    }
}

/// The word of the wire format.
fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}
