//! A plan as one HTML page: no script, nothing from elsewhere, every text escaped.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::{Result, anyhow};
use domain::plan::{Both, Difference, Move};
use jiff::Timestamp;
use plotters::prelude::*;

use super::report::Report;
use super::short;

/// Stages that are charted, those with the greatest difference first.
const CHARTS: usize = 12;
const SIZE: (u32, u32) = (420, 220);

pub(crate) const STYLE: &str = "\
:root{color-scheme:light;font:15px/1.5 system-ui,sans-serif;color:#1b2733;background:#fff}\
body{max-width:60rem;margin:2rem auto;padding:0 1rem}h1{font-size:1.5rem;margin-bottom:0}\
h2{font-size:1.1rem;margin-top:2rem;border-bottom:1px solid #d5dce3}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .6rem;vertical-align:top;\
border-bottom:1px solid #e8edf1}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}\
.bar{display:inline-block;height:.7rem;background:#2f6fb0;vertical-align:middle}\
.lost{color:#a4262c;font-weight:600}.small{color:#5b6b7a;font-size:.85rem}\
.charts{display:flex;flex-wrap:wrap;gap:1rem}figure{margin:0}figcaption{font-weight:600}";

/// The page.
pub(super) fn page(report: &Report<'_>) -> Result<String> {
    let plan = report.plan;
    let mut html = String::new();
    let (proposed, active) = (escape(short(report.proposed.0)), escape(report.active.0));
    write!(
        html,
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <title>Plan: {proposed}</title><style>{STYLE}</style>\
         <h1>Plan of {proposed}</h1>\
         <p class=\"small\">against {active}, as of {at}; {customers} customers, {events} events, \
         {steps} weekly runs over {months} months</p>",
        at = report.at,
        customers = plan.customers,
        events = plan.events,
        steps = report.steps,
        months = report.months,
    )?;
    let told = [report.by_what_risk()].into_iter().chain(report.models.notes());
    for line in told.filter(|line| !line.is_empty()) {
        write!(html, "<p class=\"small\">{}</p>", escape(&line))?;
    }
    if plan.is_empty() {
        html.push_str("<p>Nothing would change.</p></html>\n");
        return Ok(html);
    }
    now(&mut html, report)?;
    affected(&mut html, report)?;
    history(&mut html, report)?;
    html.push_str("</html>\n");
    Ok(html)
}

/// Text for HTML, in elements and in quoted attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

fn now(html: &mut String, report: &Report<'_>) -> Result<()> {
    let plan = report.plan;
    write!(
        html,
        "<h2>Now</h2><p>{} customers would move ({:.1} %){}.</p>",
        plan.moved.customers,
        plan.share() * 100.0,
        escape(&report.pays(&plan.moved)),
    )?;
    if plan.lost.customers > 0 {
        write!(
            html,
            "<p class=\"lost\">{} paying customers would be taken for churned{}.</p>",
            plan.lost.customers,
            escape(&report.pays(&plan.lost)),
        )?;
    }
    let most = plan.by_stage.values().map(|moved| moved.customers).max().unwrap_or(1).max(1);
    if !plan.by_stage.is_empty() {
        html.push_str("<table><tr><th>From<th>To<th class=\"n\">Customers<th>");
    }
    for ((from, to), moved) in &plan.by_stage {
        write!(
            html,
            "<tr><td>{}<td>{}<td class=\"n\">{}<td><span class=\"bar\" style=\"width:{}px\"></span>{}",
            escape(from),
            escape(to),
            moved.customers,
            (moved.customers * 200).div_ceil(most),
            escape(&report.pays(moved).replacen(", ", " ", 1)),
        )?;
    }
    if !plan.by_stage.is_empty() {
        html.push_str("</table>");
    }
    if !plan.by_segment.is_empty() {
        html.push_str("<h2>By segment</h2><table><tr><th>Segment<th class=\"n\">Customers<th>");
        for (segment, moved) in &plan.by_segment {
            let pays = escape(&report.pays(moved).replacen(", ", " ", 1));
            write!(
                html,
                "<tr><td>{}<td class=\"n\">{}<td>{pays}",
                escape(segment),
                moved.customers
            )?;
        }
        html.push_str("</table>");
    }
    differences(html, "Findings of the next night", &plan.findings_now, Clone::clone)?;
    differences(html, "Tasks of the next night", &plan.tasks_now, Clone::clone)?;
    differences(html, "Alerts of the next night", &plan.alerts_now, |(to, kind)| {
        format!("{kind} to {to}")
    })
}

fn differences<K>(
    html: &mut String,
    title: &str,
    all: &BTreeMap<K, Difference>,
    name: impl Fn(&K) -> String,
) -> Result<()> {
    let differ: Vec<(&K, &Difference)> =
        all.iter().filter(|(_, one)| one.appear > 0 || one.vanish > 0).collect();
    if differ.is_empty() {
        return Ok(());
    }
    write!(
        html,
        "<h2>{}</h2><table><tr><th><th class=\"n\">Active<th class=\"n\">Proposed\
         <th class=\"n\">Appear<th class=\"n\">Vanish",
        escape(title)
    )?;
    for (key, one) in differ {
        let name = escape(&name(key));
        write!(html, "<tr><td>{name}")?;
        for number in [one.made.active, one.made.proposed, one.appear, one.vanish] {
            write!(html, "<td class=\"n\">{number}")?;
        }
    }
    html.push_str("</table>");
    Ok(())
}

fn affected(html: &mut String, report: &Report<'_>) -> Result<()> {
    if report.plan.named.is_empty() {
        return Ok(());
    }
    html.push_str("<h2>Most affected</h2><table><tr><th>Customer<th>Why");
    for one in &report.plan.named {
        let Move { is_lost, is_paying, .. } = one;
        let class = if *is_lost && *is_paying { " class=\"lost\"" } else { "" };
        write!(
            html,
            "<tr><td{class}>{}<td class=\"small\">{}",
            escape(&report.line(one)),
            escape(&Report::why(one)),
        )?;
    }
    html.push_str("</table>");
    Ok(())
}

fn history(html: &mut String, report: &Report<'_>) -> Result<()> {
    let plan = report.plan;
    write!(
        html,
        "<h2>Over {} months</h2><p>The path of {} customers differs. Moves: {} under the active file, \
         {} under the proposed. Returns to a stage within 30 days: {} and {}.</p>",
        report.months,
        plan.paths_differ,
        plan.moves.active,
        plan.moves.proposed,
        plan.flaps.active,
        plan.flaps.proposed,
    )?;
    let mut stages: Vec<(u64, String)> = plan
        .course
        .values()
        .flat_map(BTreeMap::keys)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .map(|stage| {
            let apart = plan.course.values().filter_map(|stages| stages.get(stage));
            let apart = apart.map(|both| both.active.abs_diff(both.proposed)).max();
            (apart.unwrap_or(0), stage.clone())
        })
        .collect();
    stages.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    html.push_str(
        "<p class=\"small\">Customers in each stage, week by week: grey under the active file, blue \
         under the proposed.</p><div class=\"charts\">",
    );
    for (_, stage) in stages.iter().take(CHARTS) {
        let chart = chart(&plan.course, stage)?;
        write!(html, "<figure><figcaption>{}</figcaption>{chart}</figure>", escape(stage))?;
    }
    html.push_str("</div>");
    differences(html, "Findings", &plan.findings, Clone::clone)?;
    differences(html, "Tasks", &plan.tasks, Clone::clone)?;
    differences(html, "Alerts", &plan.alerts, |(to, kind)| format!("{kind} to {to}"))
}

/// The course of one stage as SVG.
fn chart(course: &BTreeMap<Timestamp, BTreeMap<String, Both>>, stage: &str) -> Result<String> {
    let counts: Vec<Both> =
        course.values().map(|stages| stages.get(stage).copied().unwrap_or_default()).collect();
    let most = counts.iter().map(|both| both.active.max(both.proposed)).max().unwrap_or(0).max(1);
    let dates: Vec<String> = course.keys().map(|at| at.to_string()[..10].to_owned()).collect();
    let last = counts.len().saturating_sub(1).max(1);
    let mut svg = String::new();
    draw(&mut svg, &counts, &dates, last, most).map_err(|error| anyhow!("cannot draw: {error}"))?;
    // What comes before the element is for a file of its own.
    Ok(svg.find("<svg").map_or_else(String::new, |at| svg[at..].to_owned()))
}

fn draw(
    svg: &mut String,
    counts: &[Both],
    dates: &[String],
    last: usize,
    most: u64,
) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(8)
        .x_label_area_size(24)
        .y_label_area_size(44)
        .build_cartesian_2d(0..last, 0..most + most.div_ceil(10))?;
    let date = |index: &usize| dates.get(*index).cloned().unwrap_or_default();
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .x_labels(4)
        .y_labels(5)
        .x_label_formatter(&date)
        .draw()?;
    let line = |pick: fn(&Both) -> u64| -> Vec<(usize, u64)> {
        counts.iter().map(pick).enumerate().collect()
    };
    let (grey, blue) = (RGBColor(140, 150, 160), RGBColor(47, 111, 176));
    chart.draw_series(LineSeries::new(line(|both| both.active), grey.stroke_width(3)))?;
    chart.draw_series(LineSeries::new(line(|both| both.proposed), blue.stroke_width(2)))?;
    area.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_is_taken_for_markup() {
        assert_eq!(
            escape("<b onclick=\"x('&')\">\u{1b}[0m"),
            "&lt;b onclick=&quot;x(&#39;&amp;&#39;)&quot;&gt; [0m"
        );
    }

    #[test]
    fn a_chart_is_one_svg_element() {
        let mut course = BTreeMap::new();
        for week in 0..4_i64 {
            let at = Timestamp::from_second(1_780_000_000 + week * 604_800).unwrap();
            let both = Both { active: 10 + week as u64, proposed: 20 };
            course.insert(at, BTreeMap::from([("churned".to_owned(), both)]));
        }
        let svg = chart(&course, "churned").unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
        assert!(svg.contains("2026-05"), "{svg}");
        assert!(chart(&BTreeMap::new(), "none").unwrap().starts_with("<svg"));
    }
}
