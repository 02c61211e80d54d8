//! A model is never larger than it may be, however much there is to look at.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use risk::metrics::auc;
use risk::model::{Kind, MOST_BYTES, Model};
use risk::random::Random;
use risk::score::{Score, Scorer};
use risk::special::sigmoid;
use risk::table::{Column, Table};
use risk::train::{Task, Trained, own_folds, predict, train};

/// Columns of chance, of which the first three tell who leaves.
fn table(columns: usize, rows: usize) -> (Table, Vec<bool>) {
    let mut random = Random::new(7, 1);
    let mut chance = || (random.bits() >> 11) as f64 / (1_u64 << 53) as f64;
    let cells: Vec<Vec<f64>> =
        (0..columns).map(|_| (0..rows).map(|_| chance() * 100.0).collect()).collect();
    let labels = (0..rows)
        .map(|row| {
            let of = |column: usize| cells[column][row] / 50.0 - 1.0;
            chance() < sigmoid(2.5 * of(0) - 2.0 * of(1) + 2.0 * of(0) * of(2))
        })
        .collect();
    let table = Table {
        names: (0..columns).map(|column| format!("column_number_{column}")).collect(),
        columns: cells.into_iter().map(Column::Numbers).collect(),
        rows,
        notes: Vec::new(),
    };
    (table, labels)
}

fn trained(table: &Table, labels: &[bool]) -> Trained {
    let task = Task {
        table,
        labels,
        target: "leaves",
        positive: "1",
        except: &[],
        folds: &[own_folds(labels, 2, 42)],
        monotone: &[],
        context: &[],
        few: &[],
        seed: 42,
        threads: 2,
    };
    train(&task, &|_, _| ()).unwrap()
}

#[test]
fn a_regression_on_300_columns_keeps_those_that_weigh_most_and_says_so() {
    let (mut table, _) = table(300, 900);
    // The others are like one of the first three, each with some chance of its own.
    let told = table.columns.clone();
    for (place, column) in table.columns.iter_mut().enumerate().skip(3) {
        if let (Column::Numbers(cells), Column::Numbers(like)) = (column, &told[place % 3]) {
            cells.iter_mut().zip(like).for_each(|(cell, like)| *cell = 0.4 * *cell + 0.6 * like);
        }
    }
    let (Column::Numbers(first), Column::Numbers(second)) = (&told[0], &told[1]) else { panic!() };
    let labels: Vec<bool> = first.iter().zip(second).map(|(a, b)| a + b > 120.0).collect();
    let trained = trained(&table, &labels);
    let model = &trained.model;
    assert_eq!(model.kind, Kind::Logistic);
    let json = model.to_json();
    assert!(json.len() <= MOST_BYTES, "{} bytes", json.len());
    assert_eq!(&Model::from_json(&json).unwrap(), model);
    assert!(model.is_as_trained());
    assert!((100..300).contains(&model.features.len()), "{}", model.features.len());
    let left_out = 300 - model.features.len();
    let note = format!("{left_out} of 300 features move the log-odds least and are left out");
    assert!(trained.notes.iter().any(|said| said.starts_with(&note)), "{:?}", trained.notes);
    let (told, absent) = predict(&Scorer::new(model.clone()), &table);
    assert!(absent.is_empty() && auc(&told, &labels).unwrap() > 0.8);
}

#[test]
fn a_machine_shrinks_step_by_step_and_stays_a_model() {
    let (table, labels) = table(12, 1_600);
    let mut model = trained(&table, &labels).model;
    assert_eq!(model.kind, Kind::Ebm);
    let mean = |model: &Model| {
        let (told, _) = predict(&Scorer::new(model.clone()), &table);
        told.iter().sum::<f64>() / told.len() as f64
    };
    let (before, whole) = (mean(&model), model.to_json().len());
    assert!(whole > 8_000, "{whole} bytes");
    for most in [whole - 1, 8_000, 5_000, 3_000, 2_000] {
        model.shrink(most);
        let json = model.to_json();
        assert!(json.len() <= most, "{} of {most} bytes", json.len());
        let read = Model::from_json(&json).unwrap();
        assert!(read.is_as_trained());
        let scorer = Scorer::new(read);
        let mut score = Score::default();
        scorer.score(&vec![50.0; scorer.model().features.len()], &mut score);
        let sum: f64 = score.contributions.iter().sum();
        // Where nothing is left to add to, the base says it all.
        assert!((scorer.base() + sum - score.logit).abs() < 1e-9);
        assert!((mean(&model) - before).abs() < 0.05, "{most}: {} {before}", mean(&model));
    }
    assert!(model.joints.is_empty() && model.sides.is_empty());
}
