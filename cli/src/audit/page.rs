//! The report of an audit pack as one HTML page: no script, nothing from elsewhere, every text escaped.

use std::collections::BTreeMap;

use super::report::{ByHand, Report};
use crate::plan::page::{STYLE, escape};

/// Rows of a table that are shown; all of them are in the CSV file beside it.
const ROWS: usize = 500;

/// The page.
pub(super) fn page(report: &Report) -> String {
    let name = escape(report.workspace.as_deref().unwrap_or("Customer lifecycle"));
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Audit: {name}</title>\
         <style>{STYLE}</style><h1>Audit of {name}</h1>\
         <p class=\"small\">from {} to {}, made {}</p>",
        report.from, report.to, report.made_at
    );
    html.push_str(&match report.faults.is_empty() {
        true => {
            "<p>Every journal verifies: nothing was changed after it was written.</p>".to_owned()
        }
        false => format!(
            "<p class=\"lost\">{} journal entries do not verify.</p><p class=\"lost\">{}</p>",
            report.faults.len(),
            escape(&report.faults.join("; "))
        ),
    });
    html.push_str(&format!(
        "<p class=\"small\">Root over {} journals: <code>{}</code></p>",
        report.root["journals"],
        escape(report.root["hash"].as_str().unwrap_or_default())
    ));
    adherence(&mut html, report);
    breaches(&mut html, report);
    by_hand(&mut html, "Waivers", "waivers.csv", &report.waivers);
    by_hand(&mut html, "Decided by people", "by_hand.csv", &report.by_hand);
    versions(&mut html, report);
    people(&mut html, &report.people);
    roots(&mut html, report);
    html.push_str("</html>\n");
    html
}

fn table(html: &mut String, title: &str, head: &[&str], rows: Vec<Vec<String>>, file: &str) {
    html.push_str(&format!("<h2>{title}</h2>"));
    if rows.is_empty() {
        html.push_str("<p>None.</p>");
        return;
    }
    let cells = |tag: &str, cells: &[String]| -> String {
        cells.iter().map(|cell| format!("<{tag}>{}", escape(cell))).collect()
    };
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    html.push_str(&format!("<table><tr>{}", cells("th", &head)));
    for row in rows.iter().take(ROWS) {
        html.push_str(&format!("<tr>{}", cells("td", row)));
    }
    html.push_str("</table>");
    if rows.len() > ROWS {
        html.push_str(&format!("<p class=\"small\">{} more are in {file}.</p>", rows.len() - ROWS));
    }
}

fn adherence(html: &mut String, report: &Report) {
    let days = |seconds: Option<i64>| {
        seconds.map_or("-".to_owned(), |seconds| format!("{:.1} d", seconds as f64 / 86_400.0))
    };
    let rows = report.adherence.iter().map(|row| {
        vec![
            row.group.clone(),
            row.adherence.map_or("-".to_owned(), |share| format!("{:.1} %", share * 100.0)),
            row.met.to_string(),
            row.breached.to_string(),
            row.open.to_string(),
            row.at_risk.to_string(),
            row.waived.to_string(),
            row.cannot_tell.to_string(),
            days(row.p50_seconds),
            days(row.p90_seconds),
        ]
    });
    let head = [
        "Standard",
        "Kept",
        "Met",
        "Breached",
        "Open",
        "At risk",
        "Waived",
        "Cannot tell",
        "Median",
        "9 of 10",
    ];
    table(html, "Adherence", &head, rows.collect(), "adherence.csv");
    html.push_str(&format!(
        "<p class=\"small\">What was kept and broken is of the period. Who is open, at risk, waived or \
         cannot be told, and who keeps a standard that has no due instant, is as of the making of this \
         pack, {}: that is how customers stand, not how they stood at the end of the period.</p>",
        report.made_at
    ));
}

fn breaches(html: &mut String, report: &Report) {
    let rows = report.breaches.iter().map(|one| {
        vec![
            one.opened_at.to_string(),
            one.customer.clone(),
            one.standard.clone(),
            one.closed_at.map_or("open".to_owned(), |at| at.to_string()),
            one.evidence.clone(),
        ]
    });
    let head = ["Opened", "Customer", "Standard", "Closed", "Evidence"];
    table(html, "Breaches", &head, rows.collect(), "breaches.csv");
}

fn by_hand(html: &mut String, title: &str, file: &str, all: &[ByHand]) {
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let rows = all.iter().map(|one| {
        vec![
            one.at.to_string(),
            one.author.clone(),
            one.customer.clone(),
            format!("{} {}", one.kind, one.rule),
            format!("{} → {}", text(&one.from), text(&one.to)),
            text(&one.reason),
            one.until.map_or("-".to_owned(), |until| until.to_string()),
        ]
    });
    let head = ["At", "Who", "Customer", "What", "From, to", "Why", "Until"];
    table(html, title, &head, rows.collect(), file);
}

fn versions(html: &mut String, report: &Report) {
    let rows = report.versions.iter().map(|one| {
        let standards: Vec<&str> =
            one.standards.iter().filter_map(|standard| standard["name"].as_str()).collect();
        vec![
            one.version.to_string(),
            one.applied_at.to_string(),
            one.until.map_or("in force".to_owned(), |until| until.to_string()),
            one.author.clone().unwrap_or_else(|| "-".to_owned()),
            one.message.clone().unwrap_or_else(|| "-".to_owned()),
            standards.join(", "),
        ]
    });
    let head = ["Version", "Applied", "Until", "Who", "Why", "Standards"];
    table(html, "Lifecycle files in force", &head, rows.collect(), "versions.csv");
}

fn roots(html: &mut String, report: &Report) {
    let rows = report.roots.iter().map(|root| {
        vec![root.through.clone().unwrap_or_default(), root.entries.to_string(), root.hash.clone()]
    });
    let head = ["Through", "Entries", "Hash"];
    table(html, "Daily roots", &head, rows.collect(), "roots.csv");
}

fn people(html: &mut String, people: &BTreeMap<String, BTreeMap<String, u64>>) {
    let rows = people.iter().map(|(name, kinds)| {
        let kinds: Vec<String> =
            kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        vec![name.clone(), kinds.join(", ")]
    });
    table(html, "Who did what", &["Who", "What"], rows.collect(), "by_hand.csv");
}
