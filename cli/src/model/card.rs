//! The model card: what a model is, how good it is and against what (Mitchell and others, "Model Cards
//! for Model Reporting", 2019).

use std::fmt::Write as _;
use std::io::Write;

use anyhow::Result;
use risk::metrics::{Bin, Figures};
use risk::reason::{percent, short};
use risk::score::Scorer;
use risk::train::{Rung, Trained};

fn figure(number: Option<f64>, digits: usize) -> String {
    number.map_or_else(|| "-".to_owned(), |number| format!("{number:.digits$}"))
}

fn columns(figures: &Figures) -> [String; 6] {
    [
        figure(figures.auc, 4),
        figure(figures.pr_auc, 4),
        figure(Some(figures.log_loss), 4),
        figure(Some(figures.brier), 4),
        figure(Some(figures.ece), 4),
        figure(figures.lift10, 2),
    ]
}

const HEADINGS: [&str; 6] = ["AUC", "PR-AUC", "log-loss", "Brier", "ECE", "lift 10%"];

fn share(trained: &Trained) -> f64 {
    trained.model.positives as f64 / trained.model.rows.max(1) as f64
}

/// What the model rests on, the strongest first: how much each feature usually moves the logit.
fn weights(trained: &Trained) -> Vec<(String, f64)> {
    let scorer = Scorer::new(trained.model.clone());
    let mut weights: Vec<(String, f64)> = scorer
        .model()
        .features
        .iter()
        .zip(scorer.spread())
        .map(|(feature, spread)| (feature.name.clone(), *spread))
        .collect();
    weights.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    weights
}

/// The card as text.
pub(super) fn write(trained: &Trained, out: &mut impl Write) -> Result<()> {
    let model = &trained.model;
    let rung = &trained.rungs[trained.chosen];
    writeln!(out, "{}: {} is {}", rung.name, model.target, model.positive)?;
    writeln!(
        out,
        "{} rows, {} positive ({}), {} features, {} bytes, calibration {}, seed {}",
        model.rows,
        model.positives,
        percent(share(trained)),
        model.features.len(),
        model.to_json().len(),
        rung.calibration,
        model.seed
    )?;
    writeln!(out, "\nOn rows it had not seen (mean over {} folds):\n", rung.folds.len())?;
    writeln!(out, "  {:42}{}", "", HEADINGS.map(|name| format!("{name:>10}")).concat())?;
    for (place, step) in trained.rungs.iter().enumerate() {
        let mark = if place == trained.chosen { "*" } else { " " };
        let cells = columns(&step.mean).map(|cell| format!("{cell:>10}")).concat();
        writeln!(out, "{mark} {:42}{cells}", step.name)?;
    }
    writeln!(
        out,
        "\nAll folds together: log-loss {:.4}, calibration error {:.4} (a perfectly calibrated model \
         would show {:.4}).",
        rung.pooled.log_loss, rung.pooled.ece, rung.floor
    )?;
    writeln!(out, "\nPredicted and observed, by tenths:")?;
    for bin in tenths(&rung.bins) {
        let bar = "#".repeat((bin.observed * 40.0).round() as usize);
        writeln!(out, "  {:>6.1} % {:>6.1} %  {bar}", bin.predicted * 100.0, bin.observed * 100.0)?;
    }
    writeln!(out, "\nWhat it rests on (how much each usually moves the log-odds):")?;
    for (name, weight) in weights(trained).iter().take(10).filter(|(_, weight)| *weight > 0.005) {
        writeln!(out, "  {:30} {}", clip(name), short(*weight))?;
    }
    for note in &trained.notes {
        writeln!(out, "note: {note}")?;
    }
    Ok(())
}

fn clip(name: &str) -> String {
    name.chars().take(30).collect()
}

/// Twentieths put together in pairs.
fn tenths(bins: &[Bin]) -> Vec<Bin> {
    bins.chunks(2)
        .map(|pair| {
            let rows: usize = pair.iter().map(|bin| bin.rows).sum();
            let mean = |of: fn(&Bin) -> f64| {
                pair.iter().map(|bin| of(bin) * bin.rows as f64).sum::<f64>() / rows.max(1) as f64
            };
            Bin { predicted: mean(|bin| bin.predicted), observed: mean(|bin| bin.observed), rows }
        })
        .collect()
}

/// Text that is safe within a page.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            other => safe.push(other),
        }
    }
    safe
}

/// The card as a page that needs nothing else.
pub(super) fn page(trained: &Trained) -> String {
    let model = &trained.model;
    let rung = &trained.rungs[trained.chosen];
    let title = format!("{} is {}", escaped(&model.target), escaped(&model.positive));
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Model card: {title}</title>\
         <style>body{{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem}}\
         table{{border-collapse:collapse}}td,th{{padding:.2rem .8rem;text-align:right}}\
         td:first-child,th:first-child{{text-align:left}}tr.chosen{{font-weight:bold}}\
         svg{{max-width:100%;height:auto}}</style><h1>{title}</h1>\
         <p>{}, trained on {} rows of which {} were positive ({}); {} features; calibration: {}; \
         seed {}; hash <code>{}</code>.</p>",
        rung.name,
        model.rows,
        model.positives,
        percent(share(trained)),
        model.features.len(),
        rung.calibration,
        model.seed,
        model.hash
    );
    page.push_str("<h2>On rows it had not seen</h2>");
    page.push_str(&table(trained));
    let _ = write!(
        page,
        "<p>Calibration error over all folds together: {:.4}; a perfectly calibrated model would show \
         {:.4}.</p><h2>Calibration</h2>{}<h2>Lift</h2>{}<h2>What it rests on</h2><ul>",
        rung.pooled.ece,
        rung.floor,
        calibration_plot(rung),
        lift_plot(rung)
    );
    for (name, weight) in weights(trained).iter().take(15).filter(|(_, weight)| *weight > 0.005) {
        let _ = write!(page, "<li>{}: {}</li>", escaped(name), short(*weight));
    }
    page.push_str("</ul><h2>Notes</h2><ul>");
    for note in &trained.notes {
        let _ = write!(page, "<li>{}</li>", escaped(note));
    }
    page.push_str("<li>Reasons are associations, not causes.</li></ul></html>\n");
    page
}

fn table(trained: &Trained) -> String {
    let heading = HEADINGS.map(|name| format!("<th>{name}</th>")).concat();
    let mut table = format!("<table><tr><th></th>{heading}</tr>");
    for (place, step) in trained.rungs.iter().enumerate() {
        let class = if place == trained.chosen { " class=\"chosen\"" } else { "" };
        let cells = columns(&step.mean).map(|cell| format!("<td>{cell}</td>")).concat();
        let _ = write!(table, "<tr{class}><td>{}</td>{cells}</tr>", step.name);
    }
    table.push_str("</table>");
    table
}

/// A square plot from 0 to 1 both ways, with its axes named.
fn plot(across: &str, up: &str, inside: &str) -> String {
    format!(
        "<svg viewBox=\"0 0 360 340\" width=\"360\" role=\"img\" aria-label=\"{up} by {across}\">\
         <rect x=\"50\" y=\"10\" width=\"300\" height=\"280\" fill=\"none\" stroke=\"#999\"/>\
         <line x1=\"50\" y1=\"290\" x2=\"350\" y2=\"10\" stroke=\"#bbb\" stroke-dasharray=\"4\"/>{inside}\
         <text x=\"200\" y=\"325\" text-anchor=\"middle\" font-size=\"13\">{across}</text>\
         <text x=\"16\" y=\"150\" text-anchor=\"middle\" font-size=\"13\" \
         transform=\"rotate(-90 16 150)\">{up}</text>\
         <text x=\"50\" y=\"305\" font-size=\"11\">0</text><text x=\"338\" y=\"305\" \
         font-size=\"11\">1</text></svg>"
    )
}

fn at(across: f64, up: f64) -> (f64, f64) {
    (50.0 + 300.0 * across.clamp(0.0, 1.0), 290.0 - 280.0 * up.clamp(0.0, 1.0))
}

fn calibration_plot(rung: &Rung) -> String {
    let mut dots = String::new();
    for bin in &rung.bins {
        let (x, y) = at(bin.predicted, bin.observed);
        // Two standard errors of the share observed.
        let error = (bin.predicted * (1.0 - bin.predicted) / bin.rows.max(1) as f64).sqrt() * 2.0;
        let ((_, low), (_, high)) = (at(0.0, bin.observed - error), at(0.0, bin.observed + error));
        let _ = write!(
            dots,
            "<line x1=\"{x:.1}\" y1=\"{low:.1}\" x2=\"{x:.1}\" y2=\"{high:.1}\" stroke=\"#69c\"/>\
             <circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"#036\"/>"
        );
    }
    plot("predicted", "observed", &dots)
}

fn lift_plot(rung: &Rung) -> String {
    let mut points = "50,290".to_owned();
    for (place, gain) in rung.gains.iter().enumerate() {
        let (x, y) = at((place + 1) as f64 / 20.0, *gain);
        let _ = write!(points, " {x:.1},{y:.1}");
    }
    let line =
        format!("<polyline points=\"{points}\" fill=\"none\" stroke=\"#036\" stroke-width=\"2\"/>");
    plot("share of rows, the riskiest first", "share of positives found", &line)
}
