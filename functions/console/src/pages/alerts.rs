//! Groups of alerts, what is silenced and why, and what was sent.

use axum::extract::State;
use jiff::SignedDuration;
use maud::{Markup, html};
use std::sync::Arc;

use super::layout::{Nav, Page};
use super::{Failure, View, show};
use crate::App;
use crate::alerts::{AlertGroup, Notification};
use crate::page::PageRequest;
use crate::silences::Silence;
use crate::visitor::Role;

const GROUPS: u16 = 100;
const SENT: u16 = 50;

/// The page.
pub(super) async fn alerts(State(app): State<Arc<App>>, view: View) -> Result<Page, Failure> {
    let page = |limit| PageRequest::new(limit, None);
    let groups = crate::alerts::alerts(State(Arc::clone(&app)), page(GROUPS)).await?.0.items;
    let silences = crate::silences::silences(State(Arc::clone(&app))).await?.0.items;
    let sent = crate::alerts::notifications(State(app), page(SENT)).await?.0.items;
    let is_grouped = view.lifecycle.routes.iter().any(|route| route.grouping.is_some());
    let can_act = view.may(Role::Operator);
    let body = html! {
        section.card {
            h2 { "Groups" }
            @if groups.is_empty() {
                @if is_grouped { (show::empty("Nothing is firing.", "What fires shows here until it is over.")) }
                @else { (show::empty("Alerts are not grouped.", "Each change is told by itself. With `group_by` under `alerts:` they gather here, can be acknowledged, and repeat until somebody does.")) }
            }
            ul.list { @for group in &groups { li { (one(group, &view, can_act)) } } }
        }
        div.grid {
            section.card.s6 #silences { h2 { "Silences" } (silenced(&silences, &view, can_act)) }
            section.card.s6 { h2 { "What was sent" } (told(&sent)) }
        }
    };
    Ok(view.page(Nav::Alerts, "Alerts", body).looking_again())
}

fn one(group: &AlertGroup, view: &View, can_act: bool) -> Markup {
    let now = view.now;
    let tone = match group.state {
        "firing" => "tone-3",
        "acknowledged" => "tone-1",
        "resolved" => "tone-0",
        _ => "",
    };
    html! {
        div.row {
            (show::chip(tone, group.state))
            b { @if group.labels.is_empty() { "all of this route" }
                @for (at, (label, value)) in group.labels.iter().enumerate() { @if at > 0 { ", " } (label) " = " @if value.is_empty() { "nobody" } @else { (value) } } }
            span.end.quiet { "to " (group.receiver) ", since " (show::time(group.opened_at)) }
        }
        p.quiet {
            (group.firing) " alerts, " (group.messages) " messages"
            @if let Some(at) = group.sent_at { ", the last " (show::distance(at, now)) }
            @if let Some(due) = group.due_at { ", next " (show::distance(due, now)) }
            @if group.escalated > 0 { ", escalated " (group.escalated) " times" }
            ", by " code { (group.route) }
        }
        @if let Some(ack) = &group.acknowledged { p { "Acknowledged by " b { (ack.author) } " " (show::distance(ack.at, now)) @if let Some(why) = &ack.reason { ": " (why) } } }
        @if let Some(silence) = &group.silence { p { "Silenced by " b { (silence.author) } " until " (show::time(silence.until)) ": " (silence.reason) } }
        details { summary.more { "The alerts" }
            ul.plain { @for alert in &group.alerts { li {
                a href=(show::customer_href(&alert.customer)) { (alert.name) } ": " (alert.headline)
                span.quiet { ", since " (show::time(alert.since)) @if !alert.told { ", not told yet" } }
            } } }
            @if group.firing > group.alerts.len() as u64 { p.quiet { "and " (group.firing - group.alerts.len() as u64) " more, counted by label" } }
        }
        @if can_act && group.acknowledged.is_none() && group.firing > 0 {
            details.inline { summary { "Acknowledge…" }
                form method="post" action={ "/do/alerts/" (group.id) "/ack" } {
                    (view.form("/alerts"))
                    label { "What is done about it" input type="text" name="reason" maxlength="500"; }
                    button.main type="submit" { "I look after it" }
                } }
        }
    }
}

fn silenced(silences: &[Silence], view: &View, can_act: bool) -> Markup {
    let tomorrow = view.now.saturating_add(SignedDuration::from_hours(48)).unwrap_or(view.now);
    let tomorrow = view.lifecycle.calendar.date(tomorrow);
    html! {
        @if silences.is_empty() { (show::empty("Nothing is silenced.", "A silence has an author, a reason and an end.")) }
        ul.list { @for silence in silences { li {
            div.row { (show::chip(if silence.state == "active" { "tone-1" } else { "" }, silence.state))
                @for matcher in &silence.matchers { code { (matcher.label) @if matcher.is_not { " ≠ " } @else { " = " } (matcher.values.join(", ")) } } }
            p { (silence.reason) span.quiet { " — " (silence.author) ", until " (show::time(silence.ends_at)) } }
            @if can_act && silence.state != "over" {
                form method="post" action={ "/do/silences/" (silence.id) } {
                    (view.form("/alerts#silences"))
                    input type="hidden" name="_method" value="DELETE";
                    button type="submit" { "End it" }
                }
            }
        } } }
        @if can_act {
            details.inline { summary { "Silence…" }
                form method="post" action="/do/silences" {
                    (view.form("/alerts#silences"))
                    label { "Which: labels and values, as csm=kim@example.com severity=low,medium"
                        input type="text" name="matchers" required maxlength="500"; }
                    label { "Why" input type="text" name="reason" required maxlength="500"; }
                    label { "Until" input type="date" name="ends_at" required value=(tomorrow); }
                    button.main type="submit" { "Silence" }
                } }
        }
    }
}

fn told(sent: &[Notification]) -> Markup {
    html! {
        @if sent.is_empty() { (show::empty("Nothing was sent in the last 30 days.", "Routes of the lifecycle file say who hears of what.")) }
        @else {
            table.cards {
                thead { tr { th scope="col" { "What" } th scope="col" { "To" } th scope="col" { "Why" } th.n scope="col" { "When" } } }
                tbody { @for one in sent { tr {
                    td data-label="What" { @if one.what == "failed" { (show::chip("tone-3", "failed")) } @else { (show::words(&one.what)) }
                        @if let Some(author) = &one.author { span.quiet { " by " (author) } } }
                    td data-label="To" { (one.receiver.as_deref().or(one.topic.as_deref()).unwrap_or("–")) }
                    td data-label="Why" { (show::words(&one.reason)) @if one.firing > 0 { span.quiet { ", " (one.firing) " alerts" } } }
                    td.n data-label="When" { (show::time(one.at)) }
                } } }
            }
        }
    }
}
