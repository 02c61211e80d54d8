//! The figures that the models reach on public data: deterministic, so they are asserted.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use risk::btyd::{BgNbd, History};
use risk::metrics::{auc, ece};
use risk::model::{Kind, MOST_BYTES, Model};
use risk::reason::{Plain, reasons};
use risk::score::{Score, Scorer};
use risk::special::logit;
use risk::table::{Column, Table};
use risk::train::{FoldColumn, Rung, Task, Trained, train};

const TELCO: &str = include_str!("../data/telco.csv");
const TELCO_CATEGORIES: [&str; 15] = [
    "gender",
    "Partner",
    "Dependents",
    "PhoneService",
    "MultipleLines",
    "InternetService",
    "OnlineSecurity",
    "OnlineBackup",
    "DeviceProtection",
    "TechSupport",
    "StreamingTV",
    "StreamingMovies",
    "Contract",
    "PaperlessBilling",
    "PaymentMethod",
];
const MLC: &str = include_str!("../data/mlc.csv");
const MLC_CATEGORIES: [&str; 4] = ["state", "area_code", "international_plan", "voice_mail_plan"];

struct Data {
    table: Table,
    labels: Vec<bool>,
    folds: Vec<FoldColumn>,
}

fn numbers<'a>(table: &'a Table, name: &str) -> &'a [f64] {
    match table.column(name) {
        Some(Column::Numbers(numbers)) => numbers,
        _ => panic!("{name} is no column of numbers"),
    }
}

fn read(text: &str, categories: &[&str]) -> Data {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let names: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    let mut cells = vec![Vec::new(); names.len()];
    for record in reader.records() {
        for (column, cell) in cells.iter_mut().zip(&record.unwrap()) {
            column.push(cell.to_owned());
        }
    }
    let column = |place: usize| cells[place].iter().map(String::as_str).collect();
    let table = Table::read(names, column, |name| categories.contains(&name));
    let labels = numbers(&table, "y").iter().map(|y| *y == 1.0).collect();
    let folds = ["f0", "f1", "f2"].map(|name| FoldColumn {
        name: name.to_owned(),
        names: (0..5).map(|fold: i32| fold.to_string()).collect(),
        folds: numbers(&table, name).iter().map(|fold| *fold as usize).collect(),
    });
    Data { table, labels, folds: folds.to_vec() }
}

fn trained(data: &Data, folds: &[FoldColumn], threads: usize) -> Trained {
    let task = Task {
        table: &data.table,
        labels: &data.labels,
        target: "y",
        positive: "1",
        except: &["y", "f0", "f1", "f2"],
        folds,
        monotone: &[],
        context: &[],
        few: &[],
        seed: 42,
        threads,
    };
    train(&task, &|_, _| ()).unwrap()
}

fn chosen(trained: &Trained) -> &Rung {
    &trained.rungs[trained.chosen]
}

fn logistic(trained: &Trained) -> &Rung {
    trained.rungs.iter().find(|rung| rung.kind == Kind::Logistic).unwrap()
}

#[test]
fn telco_reaches_what_the_best_reach() {
    let data = read(TELCO, &TELCO_CATEGORIES);
    let trained = trained(&data, &data.folds, 2);
    let rung = chosen(&trained);
    assert_eq!(rung.kind, Kind::Ebm);
    assert!(rung.mean.auc.unwrap() >= 0.8485, "{:?}", rung.mean);
    assert!(rung.mean.pr_auc.unwrap() >= 0.665, "{:?}", rung.mean);
    assert!(rung.mean.log_loss <= 0.413, "{:?}", rung.mean);
    assert!(rung.mean.brier <= 0.1342, "{:?}", rung.mean);
    assert!(rung.mean.lift10.unwrap() >= 2.85, "{:?}", rung.mean);
    assert!(rung.pooled.ece <= 0.0105, "{:?}", rung.pooled);
    assert!(rung.pooled.ece <= rung.floor * 1.3, "{} {}", rung.pooled.ece, rung.floor);
    let plain = logistic(&trained).mean;
    assert!(rung.mean.auc.unwrap() - plain.auc.unwrap() >= 0.003, "{plain:?}");
    scores_add_up(&trained.model, &data.table);
}

#[test]
fn mlc_reaches_what_the_best_reach() {
    let data = read(MLC, &MLC_CATEGORIES);
    let trained = trained(&data, &data.folds, 2);
    let rung = chosen(&trained);
    assert_eq!(rung.kind, Kind::Ebm);
    assert!(rung.mean.auc.unwrap() >= 0.925, "{:?}", rung.mean);
    assert!(rung.mean.log_loss <= 0.151, "{:?}", rung.mean);
    assert!(rung.mean.lift10.unwrap() >= 6.7, "{:?}", rung.mean);
    assert!(rung.pooled.ece <= 0.0095, "{:?}", rung.pooled);
    scores_add_up(&trained.model, &data.table);
}

/// Base and contributions are the logit, the model is small, and it is read back as it was written.
fn scores_add_up(model: &Model, table: &Table) {
    let json = model.to_json();
    assert!(json.len() <= MOST_BYTES, "{} bytes", json.len());
    assert!(model.is_as_trained());
    assert_eq!(Model::from_json(&json).unwrap(), *model);
    let scorer = Scorer::from_json(&json).unwrap();
    let (cells, absent) = scorer.cells(table);
    assert!(absent.is_empty());
    let mut score = Score::default();
    let phrases = Plain { event: "leaving".to_owned() };
    for at in 0..table.rows {
        let mut row: Vec<f64> = cells.iter().map(|column| column[at]).collect();
        if at % 10 == 0 {
            row[at % cells.len()] = f64::NAN;
        }
        scorer.score(&row, &mut score);
        let sum = scorer.base() + score.contributions.iter().sum::<f64>();
        assert!((sum - score.logit).abs() < 1e-9);
        assert!((sum - logit(score.probability)).abs() < 1e-9);
        let told = reasons(&scorer, &row, &score, [3, 2], &phrases);
        assert!(told.iter().all(|reason| reason.contribution.abs() >= 0.1));
        let coverage = scorer.coverage(&row, &score);
        assert!(coverage.low <= score.probability && score.probability <= coverage.high);
    }
}

#[test]
fn the_same_seed_is_the_same_model_with_any_number_of_threads() {
    let mut data = read(TELCO, &TELCO_CATEGORIES);
    let folds = &mut data.folds[0];
    // Two folds are enough to see it.
    folds.folds.iter_mut().for_each(|fold| *fold = (*fold).min(1));
    folds.names.truncate(2);
    let folds = [folds.clone()];
    let (one, two) = (trained(&data, &folds, 1), trained(&data, &folds, 2));
    assert_eq!(one, two);
    assert_eq!(one.model.to_json(), two.model.to_json());
}

#[test]
fn few_positives_are_for_regression() {
    let mut data = read(TELCO, &TELCO_CATEGORIES);
    let mut positives = 0;
    for label in &mut data.labels {
        positives += u32::from(*label);
        *label &= positives <= 120;
    }
    let trained = trained(&data, &data.folds[..1], 2);
    assert!(trained.rungs.iter().all(|rung| rung.kind != Kind::Ebm));
    assert!(trained.notes.iter().any(|note| note.contains("too few")), "{:?}", trained.notes);
}

/// The customers of the CDNOW sample as of the end of week 39, in weeks, and whether each bought
/// nothing in the 39 weeks after.
fn cdnow() -> (Vec<History>, Vec<bool>) {
    let text = include_str!("../../../cli/sample/CDNOW_sample.txt");
    let day = |text: &str| {
        let date = format!("{}-{}-{}", &text[..4], &text[4..6], &text[6..]);
        risk::table::number(&date).unwrap()
    };
    let (now, horizon) = (day("19970930"), 273.0);
    let mut days: std::collections::BTreeMap<&str, Vec<f64>> = Default::default();
    for line in text.lines() {
        let cells: Vec<&str> = line.split_whitespace().collect();
        days.entry(cells[1]).or_default().push(day(cells[2]));
    }
    days.values_mut()
        .map(|days| {
            days.sort_by(f64::total_cmp);
            days.dedup();
            let before: Vec<f64> = days.iter().copied().filter(|day| *day <= now).collect();
            let (first, last) = (before[0], before[before.len() - 1]);
            let history = History {
                frequency: before.len() as f64 - 1.0,
                recency: (last - first) / 7.0,
                age: (now - first) / 7.0,
            };
            let after = |day: &&f64| **day > now && **day <= now + horizon;
            (history, days.iter().filter(after).count() == 0)
        })
        .unzip()
}

#[test]
fn cdnow_has_the_parameters_of_the_paper() {
    let (histories, left) = cdnow();
    assert_eq!(histories.len(), 2_357);
    let fit = BgNbd::fit(&histories).unwrap();
    let BgNbd { r, alpha, a, b } = fit.params;
    assert!((r - 0.243).abs() < 0.001, "{r}");
    assert!((alpha - 4.414).abs() < 0.005, "{alpha}");
    assert!((a - 0.793).abs() < 0.002, "{a}");
    assert!((b - 2.426).abs() < 0.002, "{b}");
    assert!((fit.log_likelihood + 9_582.43).abs() < 0.05, "{}", fit.log_likelihood);

    // Without a label: risk is no event within the horizon, never that of being no longer alive.
    let risk: Vec<f64> = histories.iter().map(|one| fit.params.p_none(one, 39.0)).collect();
    let gone: Vec<f64> = histories.iter().map(|one| 1.0 - fit.params.p_alive(one)).collect();
    let (risk_auc, gone_auc) = (auc(&risk, &left).unwrap(), auc(&gone, &left).unwrap());
    assert!(risk_auc > 0.74, "{risk_auc}");
    assert!(ece(&risk, &left) < 0.06, "{}", ece(&risk, &left));
    assert!(gone_auc < 0.5, "{gone_auc}");
}
