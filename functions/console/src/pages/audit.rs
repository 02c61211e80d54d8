//! Whether what was decided is as it was written, what is waived, and what an auditor is given.

use axum::extract::State;
use domain::adherence::By;
use domain::audit::Chain;
use jiff::SignedDuration;
use maud::{Markup, html};
use platform::{CustomerKey, Store, StoreError};
use serde::Deserialize;
use std::sync::Arc;

use super::layout::{Nav, Page};
use super::{Failure, View, show};
use crate::App;
use crate::adherence::{Adherence, AdherenceParameters};
use crate::page::{PageRequest, Parameters};
use crate::waivers::Waiver;

/// A page checks at most so many entries: beyond, the command does.
const MOST_ENTRIES: usize = 20_000;
const WAIVERS: u16 = 100;

/// Whether to check, and what to report on.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    verify: Option<String>,
    by: Option<String>,
    from: Option<String>,
    to: Option<String>,
}

/// What a check came to.
struct Checked {
    entries: usize,
    journals: usize,
    is_all: bool,
    faults: Vec<(CustomerKey, u64, String)>,
}

/// The page.
pub(super) async fn audit(
    State(app): State<Arc<App>>,
    view: View,
    Parameters(asked): Parameters<Asked>,
) -> Result<Page, Failure> {
    let checked = match asked.verify {
        Some(_) => Some(check(&app.store).await?),
        None => None,
    };
    let report = match &asked.by {
        Some(_) => {
            let (by, from, to) = (asked.by.clone(), asked.from.clone(), asked.to.clone());
            let asked = Parameters(AdherenceParameters { from, to, by });
            Some(crate::adherence::adherence(State(Arc::clone(&app)), asked).await?.0)
        }
        None => None,
    };
    let waivers =
        crate::waivers::waivers(State(app), PageRequest::new(WAIVERS, None)).await?.0.items;
    let body = html! {
        div.grid {
            section.card.s6 {
                h2 { "Is the journal as it was written?" }
                p { "Every decision is an entry that is sealed by a hash over its content and over the entry before it. "
                    "What was changed, removed, put elsewhere or added afterwards is found." }
                @if let Some(checked) = &checked { (told(checked)) }
                form method="get" action="/audit" {
                    input type="hidden" name="verify" value="1";
                    button.main type="submit" { "Check now" }
                }
            }
            section.card.s6 {
                h2 { "For an auditor" }
                p { "A pack that somebody else can verify without this system: entries, reports and a seal." }
                pre tabindex="0" { code { "lifecycle audit report --from 2026-07-01 --to 2026-10-01 --out audit-2026-q3\nlifecycle audit verify --pack audit-2026-q3" } }
                p { "And for all journals at once, with one hash to keep where nobody who can write the tables can:" }
                pre tabindex="0" { code { "lifecycle audit verify --json" } }
            }
        }
        section.card #report { h2 { "How well standards were kept" } (reported(&view, &asked, report.as_ref())) }
        section.card { h2 { "Waivers in force" } (waived(&waivers)) }
    };
    Ok(view.page(Nav::Audit, "Audit", body))
}

fn reported(view: &View, asked: &Asked, report: Option<&Adherence>) -> Markup {
    let today = view.lifecycle.calendar.date(view.now);
    let before = view.now.saturating_sub(SignedDuration::from_hours(24 * 90)).unwrap_or(view.now);
    let before = view.lifecycle.calendar.date(before).to_string();
    let (from, to) = (asked.from.as_deref(), asked.to.as_deref());
    html! {
        form.filters method="get" action="/audit#report" {
            label { "From" input type="date" name="from" required value=(from.unwrap_or(&before)); }
            label { "To" input type="date" name="to" required value=(to.unwrap_or(&today.to_string())); }
            label { "By" select name="by" { @for by in By::ALL {
                option value=(by.as_str()) selected[asked.by.as_deref() == Some(by.as_str())] { (by.as_str()) }
            } } }
            button.main type="submit" { "Report" }
        }
        @match report {
            None => (show::empty("Choose a period.", "The report reads the journal of its days.")),
            Some(report) if report.rows.is_empty() => (show::empty("Nothing was promised.", "Standards of the lifecycle file are promises.")),
            Some(report) => {
                div.scroll tabindex="0" role="region" aria-label="How well standards were kept" { table {
                    thead { tr {
                        th scope="col" { (show::words(report.by)) } th.n scope="col" { "Kept" } th.n scope="col" { "Met" }
                        th.n scope="col" { "Broken" } th.n scope="col" { "Open" } th.n scope="col" { "Waived" } th.n scope="col" { "Cannot be told" }
                    } }
                    tbody { @for row in &report.rows { tr {
                        th scope="row" { (show::words(&row.group)) }
                        td.n { (row.adherence.map_or("–".to_owned(), show::percent)) }
                        td.n { (row.met) } td.n { (row.breached) } td.n { (row.open) } td.n { (row.waived) } td.n { (row.cannot_tell) }
                    } } }
                } }
                p.quiet { "What was met and broken from " (show::day(report.from)) " to " (show::day(report.to)) "; what is open, waived or cannot be told as of " (show::time(report.at)) ". "
                    a href=(show::href("/api/adherence", &[("by", report.by), ("from", from.unwrap_or_default()), ("to", to.unwrap_or_default())])) { "As JSON" } }
            },
        }
    }
}

/// Reads journals from the first one on, each whole, and follows their chains.
async fn check(store: &Store) -> Result<Checked, StoreError> {
    let mut checked = Checked { entries: 0, journals: 0, is_all: false, faults: Vec::new() };
    let mut chain: Option<(CustomerKey, Chain)> = None;
    let mut cursor = None;
    loop {
        let page = store.journals(cursor.as_deref()).await?;
        for place in page.items {
            if chain.as_ref().is_none_or(|(key, _)| *key != place.key) {
                checked.journals += 1;
                chain = Some((place.key.clone(), Chain::default()));
            }
            let Some((key, chain)) = &mut chain else { continue };
            checked.entries += 1;
            if let Some((number, fault)) = chain.follow(place.number, place.entry.as_ref()) {
                checked.faults.push((key.clone(), number, fault.to_string()));
            }
        }
        cursor = page.next_cursor;
        checked.is_all = cursor.is_none();
        if checked.is_all || checked.entries >= MOST_ENTRIES {
            return Ok(checked);
        }
    }
}

fn told(checked: &Checked) -> Markup {
    html! {
        @if checked.faults.is_empty() {
            p.notice role="status" { (show::number(checked.entries as f64)) " entries of " (show::number(checked.journals as f64)) " journals verify."
                @if !checked.is_all { " There are more: " code { "lifecycle audit verify" } " checks all." } }
        } @else {
            p.warning role="alert" { (checked.faults.len()) " of " (show::number(checked.entries as f64)) " entries do not verify." }
            ul { @for (key, number, fault) in checked.faults.iter().take(50) {
                li { a href=(show::customer_href(key.id())) { (key.id()) } ": entry " (number) " " (fault) }
            } }
        }
    }
}

fn waived(waivers: &[Waiver]) -> Markup {
    html! {
        @if waivers.is_empty() { (show::empty("Nothing is waived.", "A waiver lets a customer off a standard, with an author, a reason and an end.")) }
        @else {
            div.scroll { table.cards {
                thead { tr { th scope="col" { "Customer" } th scope="col" { "Standard" } th scope="col" { "By" } th scope="col" { "Why" } th scope="col" { "Until" } th scope="col" { "Hides" } } }
                tbody { @for one in waivers { tr {
                    th scope="row" { (show::customer(&one.customer, None)) }
                    td data-label="Standard" { (show::words(&one.standard)) }
                    td data-label="By" { (one.author) }
                    td data-label="Why" { (one.reason) }
                    td data-label="Until" { @match one.until { Some(until) => (show::day(until)), None => "it is ended" } }
                    td data-label="Hides" { @if one.hides { (show::severity(one.severity)) } @else { span.quiet { "nothing now" } } }
                } } }
            } }
        }
    }
}
