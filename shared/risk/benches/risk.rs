//! How fast models are trained, read and asked.

#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark")]

use std::hint::black_box;
use std::time::Instant;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use risk::btyd::{BgNbd, History};
use risk::ebm;
use risk::feature::features;
use risk::reason::{Plain, reasons};
use risk::score::{Score, Scorer};
use risk::table::{Column, Table};
use risk::train::{Task, own_folds, train};

const CATEGORIES: [&str; 15] = [
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
const EXCEPT: [&str; 4] = ["y", "f0", "f1", "f2"];

fn telco() -> (Table, Vec<bool>) {
    let mut reader = csv::Reader::from_reader(include_str!("../data/telco.csv").as_bytes());
    let names: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    let mut cells = vec![Vec::new(); names.len()];
    for record in reader.records() {
        for (column, cell) in cells.iter_mut().zip(&record.unwrap()) {
            column.push(cell.to_owned());
        }
    }
    let column = |place: usize| cells[place].iter().map(String::as_str).collect();
    let table = Table::read(names, column, |name| CATEGORIES.contains(&name));
    let Some(Column::Numbers(y)) = table.column("y") else { panic!("no labels") };
    let labels = y.iter().map(|y| *y == 1.0).collect();
    (table, labels)
}

fn training(c: &mut Criterion) {
    let (table, labels) = telco();
    let rows: Vec<usize> = (0..labels.len()).collect();
    let (features, _) = features(&table, &rows, &EXCEPT);
    let cells: Vec<Vec<f64>> = features
        .iter()
        .map(|feature| feature.axis.cells(table.column(&feature.name).unwrap()))
        .collect();
    let bins = ebm::bins(&features, &cells);
    let free = vec![None; features.len()];
    let mut group = c.benchmark_group("train");
    group.sample_size(10);
    group.bench_function("machine, 7,043 rows", |b| {
        b.iter(|| ebm::fit(&features, &bins, &labels, &free, &ebm::Settings::default()));
    });
    let times = 100_000_usize.div_ceil(labels.len());
    let many: ebm::Bins = bins.iter().map(|column| column.repeat(times)).collect();
    let many_labels = labels.repeat(times);
    let settings = ebm::Settings { bags: 3, ..ebm::Settings::default() };
    group.bench_function("machine, 105,645 rows, 3 bags", |b| {
        b.iter(|| ebm::fit(&features, &many, &many_labels, &free, &settings));
    });
    let histories: Vec<History> = (0..2_357)
        .map(|n| {
            let frequency = f64::from(n % 9 * (n % 5) / 4);
            let age = 27.0 + f64::from(n % 83) / 7.0;
            History { frequency, recency: age * frequency / (frequency + 1.3), age }
        })
        .collect();
    group.bench_function("BG/NBD, 2,357 customers", |b| b.iter(|| BgNbd::fit(&histories)));
    group.finish();
}

fn scoring(c: &mut Criterion) {
    let (table, labels) = telco();
    let folds = [own_folds(&labels, 2, 42)];
    let task = Task {
        table: &table,
        labels: &labels,
        target: "y",
        positive: "1",
        except: &EXCEPT,
        folds: &folds,
        monotone: &[],
        context: &[],
        few: &[],
        seed: 42,
        threads: 2,
    };
    let json = train(&task, &|_, _| ()).unwrap().model.to_json();
    let scorer = Scorer::from_json(&json).unwrap();
    let (cells, _) = scorer.cells(&table);
    let row = |at: usize| -> Vec<f64> { cells.iter().map(|column| column[at]).collect() };
    let rows: Vec<Vec<f64>> = (0..table.rows).map(row).collect();
    let mut score = Score::default();
    let mut next = 0;
    c.bench_function("score/one customer with contributions", |b| {
        b.iter(|| {
            next = (next + 1) % rows.len();
            scorer.score(black_box(&rows[next]), &mut score);
            score.probability
        });
    });
    c.bench_function("score/one customer with reasons in words", |b| {
        let phrases = Plain { event: "leaving".to_owned() };
        b.iter(|| {
            next = (next + 1) % rows.len();
            scorer.score(black_box(&rows[next]), &mut score);
            reasons(&scorer, &rows[next], &score, [3, 2], &phrases)
        });
    });
    let phrases = Plain { event: "leaving".to_owned() };
    percentiles("one customer with contributions", &rows, |row| {
        scorer.score(row, &mut score);
        black_box(score.probability);
    });
    percentiles("one customer with reasons in words", &rows, |row| {
        scorer.score(row, &mut score);
        black_box(reasons(&scorer, row, &score, [3, 2], &phrases));
    });
    let mut group = c.benchmark_group("score");
    group.sample_size(10);
    group.bench_function("1,000,000 customers with contributions", |b| {
        b.iter(|| {
            let mut sum = 0.0;
            for at in 0..1_000_000 {
                scorer.score(&rows[at % rows.len()], &mut score);
                sum += score.probability;
            }
            sum
        });
    });
    group.bench_function("read a model", |b| {
        b.iter_batched(|| json.clone(), |json| Scorer::from_json(&json), BatchSize::SmallInput);
    });
    group.finish();
}

/// Prints what single calls take: half of them at most the first, 99 of 100 at most the second. The
/// clock's own time is in it.
fn percentiles(what: &str, rows: &[Vec<f64>], mut call: impl FnMut(&[f64])) {
    rows.iter().for_each(|row| call(black_box(row)));
    let mut took: Vec<u128> = (0..100_000)
        .map(|at| {
            let row = black_box(&rows[at % rows.len()]);
            let began = Instant::now();
            call(row);
            began.elapsed().as_nanos()
        })
        .collect();
    took.sort_unstable();
    let at = |share: usize| took[took.len() * share / 100] as f64 / 1e3;
    println!("score/{what}: p50 {:.2} us, p99 {:.2} us", at(50), at(99));
}

criterion_group!(benches, training, scoring);
criterion_main!(benches);
