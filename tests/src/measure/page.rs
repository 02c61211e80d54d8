//! The page for people, and the picture of the growth.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use super::{Findings, Row, Size};

/// List prices of us-east-1, in dollars: a million read and write units on demand, as docs/operations.md has them.
const MILLION_READS: f64 = 0.125;
const MILLION_WRITES: f64 = 0.625;
/// What is called for of a start, of a processor, and of a binary.
const LIMITS: &str = "at most 8 ms of a processor to start, 12 MB of memory then, 4 MB as a zip";
const PICTURE: (u32, u32) = (720, 360);

pub(super) fn write(findings: &Findings, machine: &str, date: &str, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("benchmarks.md"), page(findings, machine, date)?)?;
    growth_picture(&findings.growth, &folder.join("growth.svg"))
}

fn page(findings: &Findings, machine: &str, date: &str) -> Result<String> {
    let mut text = format!(
        "# Benchmarks\n\nMeasured {date} on {machine}, by `python3 tests/benches/run.py functions`: release binaries \
         under a Runtime API on loopback, tables in an embedded DynamoDB in another process. Times of a processor \
         are the function's own; times on the wall hold the engine's share. Trust ratios more than figures.\n\n\
         ## Starting\n\nMedians of 15 starts. Limits: {LIMITS}.\n\n\
         | function | start to first poll | of a processor | memory then | memory warm | binary | zip |\n\
         |---|---|---|---|---|---|---|\n"
    );
    for row in &findings.rows {
        let (binary, zip) = row.bytes.map_or(("-".to_owned(), "-".to_owned()), |(binary, zip)| {
            (format!("{binary:.1} MB"), format!("{zip:.1} MB"))
        });
        writeln!(
            text,
            "| {} | {} | {} | {:.1} MB | {:.1} MB | {binary} | {zip} |",
            row.name,
            millis(row.start),
            millis(row.start_processor),
            row.start_memory,
            row.memory
        )?;
    }
    text.push_str(
        "\n## Invocations\n\nOne at a time, warm. An item is an event, or a customer of a sweep.\n\n\
         | function | invocation | p50 | p99 | of a processor, an item | items a second and core | read units | write units | a million items |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for row in &findings.rows {
        for work in &row.works {
            let (reads, writes, dollars) = work.units.map_or_else(
                || ("-".to_owned(), "-".to_owned(), "-".to_owned()),
                |(reads, writes)| {
                    let dollars = reads * MILLION_READS + writes * MILLION_WRITES;
                    (format!("{reads:.2}"), format!("{writes:.2}"), format!("${dollars:.2}"))
                },
            );
            writeln!(
                text,
                "| {} | {} | {} | {} | {:.0} us | {:.0} | {reads} | {writes} | {dollars} |",
                row.name,
                work.what,
                millis(work.median),
                millis(work.p99),
                work.processor.as_secs_f64() * 1e6,
                1.0 / work.processor.as_secs_f64()
            )?;
        }
    }
    text.push_str("\nThe floor of an event is its one put: 1 write unit, $0.63 a million.\n");
    for (what, ratio) in ratios(&findings.rows) {
        writeln!(text, "\n{what}: {ratio:.1} times.")?;
    }
    text.push_str(
        "\n## Growth\n\nA nightly sweep of `evaluate` over customers who stay where they are, in tickets of 20,000.\n\n\
         ![Processor time, read units and memory by customers](growth.svg)\n\n\
         | customers | on the wall | of a processor | a customer | read units a customer | write units | memory |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for size in &findings.growth {
        #[expect(clippy::cast_precision_loss, reason = "customers are counted in millions")]
        let customers = size.customers as f64;
        writeln!(
            text,
            "| {} | {:.2} s | {:.2} s | {:.1} us | {:.3} | {:.1} | {:.1} MB |",
            size.customers,
            size.wall.as_secs_f64(),
            size.processor.as_secs_f64(),
            size.processor.as_secs_f64() * 1e6 / customers,
            size.read_units / customers,
            size.write_units,
            size.memory
        )?;
    }
    Ok(text)
}

fn millis(time: std::time::Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// How many times as much the Python functions take.
fn ratios(rows: &[Row]) -> Vec<(String, f64)> {
    let mut ratios = Vec::new();
    for name in ["ingest", "evaluate"] {
        let ours = rows.iter().find(|row| row.name == name);
        let theirs = rows.iter().find(|row| row.name == format!("{name}, in Python"));
        let (Some(ours), Some(theirs)) = (ours, theirs) else { continue };
        let start = theirs.start_processor.as_secs_f64() / ours.start_processor.as_secs_f64();
        ratios.push((format!("Of a processor, to start: `{name}` in Python takes"), start));
        for (mine, other) in ours.works.iter().zip(&theirs.works) {
            let ratio = other.processor.as_secs_f64() / mine.processor.as_secs_f64();
            ratios.push((
                format!("Of a processor, {} of `{name}` in Python takes", mine.what),
                ratio,
            ));
        }
    }
    ratios
}

/// What is drawn: its name, its value, its colour.
type Line = (&'static str, fn(&Size) -> f64, RGBColor);

fn growth_picture(growth: &[Size], file: &Path) -> Result<()> {
    let failed = |error: &dyn std::fmt::Display| anyhow!("cannot draw the growth: {error}");
    #[expect(clippy::cast_precision_loss, reason = "customers are counted in millions")]
    let x = |size: &Size| size.customers as f64;
    let lines: [Line; 3] = [
        ("processor, ms", |size| size.processor.as_secs_f64() * 1e3, RGBColor(31, 119, 180)),
        ("read units", |size| size.read_units, RGBColor(44, 120, 44)),
        ("memory, MB", |size| size.memory, RGBColor(200, 80, 20)),
    ];
    let most =
        growth.iter().flat_map(|size| lines.iter().map(|line| line.1(size))).fold(10.0, f64::max);
    let (first, last) = (growth.first().map_or(1.0, x), growth.last().map_or(10.0, x));
    let root = SVGBackend::new(file, PICTURE).into_drawing_area();
    root.fill(&WHITE).map_err(|error| failed(&error))?;
    let mut chart = ChartBuilder::on(&root)
        .caption("A nightly sweep as the table grows", ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(56)
        .build_cartesian_2d(
            (first..last.max(first * 10.0)).log_scale(),
            (1.0..most * 2.0).log_scale(),
        )
        .map_err(|error| failed(&error))?;
    chart.configure_mesh().x_desc("customers").draw().map_err(|error| failed(&error))?;
    for (place, (name, y, color)) in (0..).zip(&lines) {
        let points: Vec<(f64, f64)> =
            growth.iter().map(|size| (x(size), y(size).max(1.0))).collect();
        let series = LineSeries::new(points, color.stroke_width(2));
        chart.draw_series(series).map_err(|error| failed(&error))?;
        let style = ("sans-serif", 14).into_font().color(color);
        root.draw(&Text::new(*name, (80, 44 + 18 * place), style))
            .map_err(|error| failed(&error))?;
    }
    root.present().map_err(|error| failed(&error))
}
