//! The list of customers: searched, sorted, filtered, exported; a view is its address.

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use domain::lifecycle::RiskModel;
use domain::pace::Pace;
use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;
use std::sync::Arc;

use super::layout::{Nav, Page};
use super::{Failure, View, show};
use crate::App;
use crate::customers::{CustomerSummary, CustomersParameters, TOO_MANY_TO_SORT, first_of_all};
use crate::page::{List, PageRequest, Parameters, given};
use crate::problem::Problem;

const ROWS: u16 = 50;
/// At most so many customers are exported at once.
const EXPORTED: u16 = 1_000;
const SORTS: [(&str, &str); 6] = [
    ("revenue_at_risk", "Revenue at risk"),
    ("risk", "Churn risk"),
    ("health", "Health, worst first"),
    ("days", "Longest in stage"),
    ("last_seen", "Longest silent"),
    ("name", "Name"),
];

/// What a view is made of.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Asked {
    q: Option<String>,
    stage: Option<String>,
    band: Option<String>,
    segment: Option<String>,
    pace: Option<String>,
    owner: Option<String>,
    open: Option<String>,
    at_risk: Option<String>,
    sort: Option<String>,
    cursor: Option<String>,
}

impl Asked {
    fn parameters(&self, sort: Option<String>) -> CustomersParameters {
        CustomersParameters {
            stage: self.stage.clone(),
            band: self.band.clone(),
            segment: self.segment.clone(),
            pace: self.pace.clone(),
            handoff: None,
            q: self.q.clone(),
            owner: self.owner.clone(),
            open: self.open.clone(),
            at_risk: given(self.at_risk.clone()),
            sort,
        }
    }

    fn sort(&self, view: &View) -> String {
        given(self.sort.clone()).unwrap_or_else(|| match view.lifecycle.stakes.is_some() {
            true => "revenue_at_risk".to_owned(),
            false => "risk".to_owned(),
        })
    }

    /// The address of this view, with something else in it.
    fn href(&self, path: &str, change: (&str, &str)) -> String {
        let of = |given: &Option<String>| given.clone().unwrap_or_default();
        let mut all = [
            ("q", of(&self.q)),
            ("stage", of(&self.stage)),
            ("band", of(&self.band)),
            ("segment", of(&self.segment)),
            ("pace", of(&self.pace)),
            ("owner", of(&self.owner)),
            ("open", of(&self.open)),
            ("at_risk", of(&self.at_risk)),
            ("sort", of(&self.sort)),
            ("cursor", String::new()),
        ];
        if let Some(field) = all.iter_mut().find(|(name, _)| *name == change.0) {
            field.1 = change.1.to_owned();
        }
        let all: Vec<(&str, &str)> =
            all.iter().map(|(name, text)| (*name, text.as_str())).collect();
        show::href(path, &all)
    }

    fn is_filtered(&self) -> bool {
        let all = [
            &self.q,
            &self.stage,
            &self.band,
            &self.segment,
            &self.pace,
            &self.owner,
            &self.open,
            &self.at_risk,
        ];
        all.into_iter().any(|given| given.as_ref().is_some_and(|text| !text.is_empty()))
    }
}

/// The list.
pub(super) async fn customers(
    view: View,
    Parameters(asked): Parameters<Asked>,
) -> Result<Page, Failure> {
    let sort = asked.sort(&view);
    let (list, order) = first_view(&view, &asked, &sort).await?;
    let body = html! {
        (views(&view, &asked))
        (filters(&view, &asked, &sort))
        section.card aria-label="Customers" {
            @match order {
                Order::Sorted => {},
                Order::Ranked(at, of) => p.quiet {
                    "The " (of) " with the most at risk, as of " (show::time(at))
                    ". There are too many customers to put all in order: choose a stage for another one."
                },
                Order::Unsorted => p.warning {
                    "There are too many customers to put in order: choose a stage. "
                    "Until then they come as they are kept."
                },
            }
            @if list.items.is_empty() { (nobody(&asked, list.next_cursor.is_some())) }
            @else { (table(&view, &list.items)) }
            p.row {
                @if let Some(next) = &list.next_cursor {
                    a href=(asked.href("/customers", ("cursor", next))) { "Next page" }
                }
                @if asked.cursor.is_some() { a href=(asked.href("/customers", ("cursor", ""))) { "First page" } }
                a.end href=(asked.href("/customers.csv", ("cursor", ""))) { "Export as CSV" }
            }
        }
    };
    Ok(view.page(Nav::Customers, "Customers", body))
}

/// How a list came into its order.
enum Order {
    /// By what was asked for.
    Sorted,
    /// By the newest picture, of an instant, of so many.
    Ranked(Timestamp, usize),
    /// As customers are kept.
    Unsorted,
}

/// The list as it is asked for, without reading more of many customers than are shown.
async fn first_view(
    view: &View,
    asked: &Asked,
    sort: &str,
) -> Result<(List<CustomerSummary>, Order), Problem> {
    match read(view, asked, ROWS, Some(sort.to_owned())).await {
        Err(problem) if problem.code == TOO_MANY_TO_SORT => {}
        list => return Ok((list?, Order::Sorted)),
    }
    let is_default = asked.sort(view) == Asked::default().sort(view);
    let picture = if is_default && !asked.is_filtered() {
        view.app.store.overview().await?.filter(|picture| !picture.ranked.is_empty())
    } else {
        None
    };
    let Some(picture) = picture else {
        return Ok((read(view, asked, ROWS, None).await?, Order::Unsorted));
    };
    let page = PageRequest::new(ROWS, given(asked.cursor.clone()));
    let list = first_of_all(&view.app, &view.lifecycle, &picture.ranked, &page).await?;
    Ok((list, Order::Ranked(picture.at, picture.ranked.len())))
}

async fn read(
    view: &View,
    asked: &Asked,
    limit: u16,
    sort: Option<String>,
) -> Result<List<CustomerSummary>, Problem> {
    let page = PageRequest::new(limit, given(asked.cursor.clone()));
    let parameters = Parameters(asked.parameters(sort));
    let read = crate::customers::customers(State(Arc::clone(&view.app)), parameters, page).await?;
    Ok(read.0)
}

fn nobody(asked: &Asked, goes_on: bool) -> Markup {
    if goes_on {
        return show::empty(
            "Nobody so far.",
            "Not all customers were read yet: go on with the next page.",
        );
    }
    if asked.is_filtered() {
        return show::empty("Nobody is like that.", "Leave a filter away, or search for less.");
    }
    show::empty(
        "There are no customers yet.",
        "They come with their first event: the setup page says how to send one.",
    )
}

fn filters(view: &View, asked: &Asked, sort: &str) -> Markup {
    let lifecycle = &view.lifecycle;
    let stages = lifecycle.stages.iter().map(|stage| stage.name.as_str());
    let risk = lifecycle.risk.as_ref().map_or(&[][..], RiskModel::bands).iter();
    let health = lifecycle.health.as_ref().map_or(&[][..], |card| &card.bands).iter();
    let bands = risk.rev().chain(health).map(|band| band.name.as_str());
    let segments = lifecycle.segments.iter().map(|segment| segment.name.as_str());
    let open = [("overdue", "Overdue tasks"), ("finding", "Open findings")];
    html! {
        form.filters method="get" action="/customers" role="search" {
            label.grow { "Search by name or id"
                input type="search" name="q" value=[asked.q.as_deref()] maxlength="200"; }
            (choice("Stage", "stage", &asked.stage, stages.map(|name| (name, show::words(name)))))
            (choice("Band", "band", &asked.band, bands.map(|name| (name, show::words(name)))))
            (choice("Segment", "segment", &asked.segment, segments.map(|name| (name, show::words(name)))))
            (choice("Pace", "pace", &asked.pace, Pace::ALL.map(|pace| (pace.as_str(), show::words(pace.as_str())))))
            (choice("Open", "open", &asked.open, open.map(|(word, text)| (word, text.to_owned()))))
            label { "Owner" input type="text" name="owner" value=[asked.owner.as_deref()] maxlength="200"; }
            @if lifecycle.stakes.is_some() {
                label { "At risk from" @if let Some(currency) = &lifecycle.currency { ", " (currency) }
                    input type="number" name="at_risk" min="0" step="any" value=[asked.at_risk.as_deref()]; }
            }
            label { "Order"
                select name="sort" {
                    @for (word, text) in SORTS {
                        option value=(word) selected[word == sort] { (text) }
                    }
                }
            }
            button.main type="submit" { "Show" }
            @if asked.is_filtered() { a href="/customers" { "Everybody" } }
        }
    }
}

/// Views that are asked for every day. Any other is kept by its address.
fn views(view: &View, asked: &Asked) -> Markup {
    let mine = view.visitor.name.as_str();
    let worst = view.lifecycle.risk.as_ref().and_then(|risk| risk.bands().last());
    let worst = worst.map_or("", |band| band.name.as_str());
    let ready = [
        ("Everybody", "", ""),
        ("Mine", "owner", mine),
        ("Highest risk", "band", worst),
        ("Stuck", "pace", "stuck"),
        ("Overdue tasks", "open", "overdue"),
        ("Open findings", "open", "finding"),
    ];
    let here = asked.href("/customers", ("cursor", ""));
    html! {
        nav.tabs aria-label="Views" {
            @for (name, parameter, value) in ready {
                @if parameter.is_empty() || !value.is_empty() {
                    @let there = show::href("/customers", &[(parameter, value)]);
                    a href=(there) aria-current=[(here == there).then_some("true")] { (name) }
                }
            }
        }
        p.sub { "A view is its address: keep or share it as a bookmark." }
    }
}

fn choice<'a>(
    label: &str,
    name: &str,
    chosen: &Option<String>,
    options: impl IntoIterator<Item = (&'a str, String)>,
) -> Markup {
    html! {
        label { (label)
            select name=(name) {
                option value="" { "any" }
                @for (word, text) in options {
                    option value=(word) selected[chosen.as_deref() == Some(word)] { (text) }
                }
            }
        }
    }
}

fn table(view: &View, items: &[CustomerSummary]) -> Markup {
    let lifecycle = &view.lifecycle;
    let has_value = lifecycle.stakes.is_some();
    html! {
        div.scroll {
            table.cards {
                thead { tr {
                    th scope="col" { "Customer" } th scope="col" { "Stage" } th scope="col" { "Churn risk" }
                    @if has_value { th.n scope="col" { "At risk" } }
                    th scope="col" { "Health" } th scope="col" { "Open" } th scope="col" { "Owner" }
                    th.n scope="col" { "Last seen" }
                } }
                tbody {
                    @for one in items {
                        tr {
                            th scope="row" { (show::customer(&one.id, one.name.as_deref())) }
                            td data-label="Stage" { (stage(one)) }
                            td data-label="Churn risk" {
                                @if let Some(risk) = &one.risk {
                                    span.nw {
                                        (show::percent(risk.probability)) " "
                                        (show::chip(show::risk_tone(lifecycle, &risk.band), &risk.band))
                                    }
                                } @else { span.quiet { "not told yet" } }
                            }
                            @if has_value {
                                td.n data-label="At risk" {
                                    @match one.risk.as_ref().and_then(|risk| risk.revenue_at_risk) {
                                        Some(amount) => (view.money(amount)),
                                        None => span.quiet { "–" },
                                    }
                                }
                            }
                            td data-label="Health" {
                                @if let Some(health) = &one.health {
                                    span.nw {
                                        (format!("{:.0}", health.score)) " "
                                        (show::chip(show::health_tone(lifecycle, &health.band), &health.band))
                                    }
                                } @else { span.quiet { "–" } }
                            }
                            td data-label="Open" { (open(one)) }
                            td data-label="Owner" { (one.owner.as_deref().unwrap_or("–")) }
                            td.n data-label="Last seen" {
                                @match one.last_seen {
                                    Some(at) => (show::distance(at, view.now)),
                                    None => "–",
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn stage(one: &CustomerSummary) -> Markup {
    let tone = match one.pace {
        Some("stuck") => Some("tone-3"),
        Some("behind") => Some("tone-1"),
        _ => None,
    };
    html! {
        @match &one.stage {
            Some(stage) => span {
                (show::words(stage))
                @if let Some(days) = one.days { " " span.quiet.nw { (days) " d" } }
                @if let (Some(tone), Some(pace)) = (tone, one.pace) { " " (show::chip(tone, pace)) }
            },
            None => span.quiet { "none yet" },
        }
    }
}

fn open(one: &CustomerSummary) -> Markup {
    html! {
        span {
            @if one.tasks_overdue > 0 { span.late { (one.tasks_overdue) " overdue" } " " }
            @if one.findings > 0 { (one.findings) @if one.findings == 1 { " finding" } @else { " findings" } }
            @if one.tasks_overdue == 0 && one.findings == 0 { span.quiet { "–" } }
        }
    }
}

/// The same list, for a spreadsheet.
pub(super) async fn export(
    State(_): State<Arc<App>>,
    view: View,
    Parameters(asked): Parameters<Asked>,
) -> Result<Response, Failure> {
    let mut asked = Asked { cursor: None, ..asked };
    let sort = Some(asked.sort(&view));
    let mut text =
        "id,name,stage,since,days,pace,risk,risk_band,revenue_at_risk,health,health_band,\
                    findings,tasks_overdue,owner,segments,last_seen\r\n"
            .to_owned();
    loop {
        let list = match read(&view, &asked, EXPORTED, sort.clone()).await {
            Err(problem) if problem.code == TOO_MANY_TO_SORT => {
                let detail = "There are too many customers for one file: choose a stage first.";
                return Err(Failure::refused("Too many to export", detail)
                    .back_to(asked.href("/customers", ("cursor", ""))));
            }
            list => list?,
        };
        list.items.iter().for_each(|one| text.push_str(&line(one)));
        asked.cursor = list.next_cursor;
        if asked.cursor.is_none() {
            break;
        }
    }
    let head = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8")),
        (
            header::CONTENT_DISPOSITION,
            HeaderValue::from_static("attachment; filename=\"customers.csv\""),
        ),
    ];
    Ok((head, text).into_response())
}

fn line(one: &CustomerSummary) -> String {
    let text = |text: Option<&str>| cell(text.unwrap_or_default());
    let number = |number: Option<f64>| number.map(|number| number.to_string()).unwrap_or_default();
    let instant = |at: Option<jiff::Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    let (risk, health) = (one.risk.as_ref(), one.health.as_ref());
    let cells = [
        cell(&one.id),
        text(one.name.as_deref()),
        text(one.stage.as_deref()),
        instant(one.since),
        one.days.map(|days| days.to_string()).unwrap_or_default(),
        text(one.pace),
        number(risk.map(|risk| risk.probability)),
        text(risk.map(|risk| risk.band.as_str())),
        number(risk.and_then(|risk| risk.revenue_at_risk)),
        number(health.map(|health| health.score)),
        text(health.map(|health| health.band.as_str())),
        one.findings.to_string(),
        one.tasks_overdue.to_string(),
        text(one.owner.as_deref()),
        cell(&one.segments.join(" ")),
        instant(one.last_seen),
    ];
    format!("{}\r\n", cells.join(","))
}

/// A cell: quoted where it has to be, and never a formula (a spreadsheet would compute what begins with
/// one of these signs).
fn cell(text: &str) -> String {
    let text = match text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{text}"),
        false => text.to_owned(),
    };
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_text_and_never_a_formula() {
        assert_eq!(cell("Acme, Inc. \"x\""), "\"Acme, Inc. \"\"x\"\"\"");
        assert_eq!(cell("=HYPERLINK(1)"), "'=HYPERLINK(1)");
        assert_eq!(cell("@a"), "'@a");
        assert_eq!(cell("plain"), "plain");
    }

    #[test]
    fn a_view_is_its_address() {
        let asked = Asked { q: Some("a b".into()), sort: Some("name".into()), ..Asked::default() };
        assert_eq!(
            asked.href("/customers", ("cursor", "x")),
            "/customers?q=a%20b&sort=name&cursor=x"
        );
    }
}
