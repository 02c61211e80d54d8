//! Models from tables: the figures, the form of the answers, and tables that are out to harm.

use std::path::Path;

use serde_json::{Map, Value as Json};

use crate::process::{answer, output, stderr};

const TELCO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/risk/data/telco.csv");
const CDNOW: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/sample/CDNOW_sample.txt");
const CATEGORIES: &str = "gender,Partner,Dependents,PhoneService,MultipleLines,InternetService,OnlineSecurity,\
OnlineBackup,DeviceProtection,TechSupport,StreamingTV,StreamingMovies,Contract,PaperlessBilling,PaymentMethod";

fn lines(folder: &Path, arguments: &[&str]) -> Vec<Json> {
    let output = output(folder, arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// `p / (1 - p)` as a logarithm.
fn logit(line: &Json) -> f64 {
    let p = line["probability"].as_f64().unwrap();
    (p / (1.0 - p)).ln()
}

fn added_up(line: &Json) -> f64 {
    let contributions: &Map<String, Json> = line["contributions"].as_object().unwrap();
    line["base"].as_f64().unwrap()
        + contributions.values().map(|logit| logit.as_f64().unwrap()).sum::<f64>()
}

#[test]
fn a_model_is_trained_proved_and_asked() {
    let folder = tempfile::tempdir().unwrap();
    let train = ["train", "--table", TELCO, "--target", "y", "--folds", "f0", "--ignore", "f1,f2"];
    let out = ["--categorical", CATEGORIES, "--out", "model.json", "--card", "card.html", "--json"];
    let trained = answer(folder.path(), &[&train[..], &out[..]].concat());
    assert_eq!(trained["kind"], "ebm");
    assert_eq!(trained["folds"].as_array().unwrap().len(), 5);
    assert_eq!(trained["folds"][0]["column"], "f0");
    assert!(trained["mean"]["auc"].as_f64().unwrap() > 0.845, "{}", trained["mean"]);
    assert!(trained["pooled"]["ece"].as_f64().unwrap() < 0.012, "{}", trained["pooled"]);
    let bytes = std::fs::metadata(folder.path().join("model.json")).unwrap().len();
    assert_eq!(trained["artifact_bytes"], bytes);
    assert!(bytes <= 65_536);
    let card = std::fs::read_to_string(folder.path().join("card.html")).unwrap();
    assert_eq!(card.matches("<svg").count(), 2);

    let score = ["score", "--table", TELCO, "--model", "model.json"];
    let scored = lines(folder.path(), &[&score[..], &["--json"]].concat());
    assert_eq!(scored.len(), 7_043);
    for (at, line) in scored.iter().enumerate() {
        assert_eq!(line["row"], at + 1);
        assert!((added_up(line) - logit(line)).abs() < 1e-9, "{line}");
    }
    let text = output(folder.path(), &score);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("multiplies the odds of y being 1 by"), "{text}");
    assert!(text.contains("Against y in 7043 rows: AUC 0.8"), "{text}");
}

#[test]
fn words_missing_cells_and_new_words_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let mut table = "plan;seats;joined;same;left\n".to_owned();
    for n in 0..400 {
        let plan = ["trial", "team", "business", ""][n % 4];
        let left = if n % 4 == 0 && n % 3 > 0 || n % 17 == 0 { "yes" } else { "no" };
        let seats = if n % 9 == 0 { "NA".to_owned() } else { format!("{},5", n % 20) };
        table.push_str(&format!("{plan};{seats};2026-01-{:02};x;{left}\n", n % 28 + 1));
    }
    std::fs::write(folder.path().join("t.csv"), table).unwrap();
    let train = ["train", "--table", "t.csv", "--target", "left", "--out", "m.json", "--json"];
    let trained = answer(folder.path(), &train);
    assert_eq!(trained["kind"], "logistic");
    assert_eq!(trained["positive"], "yes");
    assert!(trained["notes"].to_string().contains("same is left out"), "{trained}");

    let rows = "plan;seats;joined\ntrial;3;2026-01-05\nunheard of;;\n;1e300;not a day\n";
    std::fs::write(folder.path().join("new.csv"), rows).unwrap();
    let score = ["score", "--table", "new.csv", "--model", "m.json", "--json"];
    let scored = lines(folder.path(), &score);
    assert_eq!(scored.len(), 3);
    let known = |at: usize| scored[at]["coverage"]["known"].as_f64().unwrap();
    assert!(known(0) == 1.0 && known(1) < 1.0);
    assert!(scored.iter().all(|line| (added_up(line) - logit(line)).abs() < 1e-9));
}

#[test]
fn what_cannot_be_learnt_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("empty.csv", "");
    write("one.csv", "a,y\n1,0\n2,0\n3,0\n");
    write("three.csv", "a,y\n1,x\n2,y\n3,z\n4,x\n");
    write("few.csv", "a,y\n1,0\n2,1\n3,0\n");
    write("constant.csv", "a,y\n1,0\n1,1\n1,0\n1,1\n");
    write("twice.csv", "a,a,y\n1,2,0\n");
    write("ragged.csv", "a,y\n1,0\n1,2,3\n");
    write("good.csv", "a,y\n1,0\n2,1\n3,0\n4,1\n");
    write("model.json", "{\"format\": 9}");
    let train = |table: &'static str| vec!["train", "--table", table, "--target", "y"];
    let score = vec!["score", "--table", "good.csv", "--model", "model.json"];
    for (arguments, code, words) in [
        (train("empty.csv"), 1, "it is empty"),
        (train("none.csv"), 1, "cannot read none.csv"),
        (train("one.csv"), 1, "every row has the same y"),
        (train("three.csv"), 1, "--positive WORD"),
        (train("few.csv"), 1, "at least two of each class"),
        (train("constant.csv"), 1, "no column is left to learn from"),
        (train("twice.csv"), 1, "two columns are called `a`"),
        (train("ragged.csv"), 1, "line 3 has more cells"),
        ([&train("good.csv")[..], &["--folds", "f"]].concat(), 2, "--folds names a column `f`"),
        ([&train("good.csv")[..], &["--positive", "7"]].concat(), 2, "no row has that y"),
        (vec!["train", "--table", "good.csv"], 2, "--target"),
        (score, 1, "it has format 9"),
    ] {
        let output = output(folder.path(), &arguments);
        let complaint = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {complaint}");
        assert!(complaint.contains(words), "{arguments:?}: {complaint}");
        assert!(!complaint.contains("panicked"), "{complaint}");
    }
}

#[test]
fn who_comes_back_is_told_from_days_alone() {
    let folder = tempfile::tempdir().unwrap();
    let alive = ["alive", "--table", CDNOW, "--id", "id", "--time", "date", "--value", "amount"];
    let when = ["--as-of", "1997-09-30", "--horizon", "273d", "--unit", "week"];
    let told = answer(folder.path(), &[&alive[..], &when[..], &["--json"]].concat());
    for (name, value, within) in
        [("r", 0.243, 0.001), ("alpha", 4.414, 0.005), ("a", 0.793, 0.002), ("b", 2.426, 0.002)]
    {
        let found = told["params"][name].as_f64().unwrap();
        assert!((found - value).abs() < within, "{name} {found}");
    }
    assert!((told["log_likelihood"].as_f64().unwrap() + 9_582.43).abs() < 0.05);
    let customers = told["customers"].as_array().unwrap();
    assert_eq!(customers.len(), 2_357);
    assert_eq!(customers[0]["id"], "0001");
    assert_eq!(customers[0]["frequency"], 2.0);
    assert!((customers[0]["recency"].as_f64().unwrap() - 213.0 / 7.0).abs() < 1e-9);
    assert!((customers[0]["age"].as_f64().unwrap() - 272.0 / 7.0).abs() < 1e-9);
    assert!((customers[0]["expected"].as_f64().unwrap() - 1.226).abs() < 0.01);
    assert!(customers[0]["expected_value"].as_f64().unwrap() > 10.0);

    std::fs::write(folder.path().join("once.csv"), "who,when\na,2026-01-01\nb,2026-01-02\n")
        .unwrap();
    let once = ["alive", "--table", "once.csv", "--id", "who", "--time", "when", "--as-of"];
    for (rest, code, words) in [
        (&["2026-02-01", "--horizon", "30d"][..], 1, "two different days"),
        (&["2025-02-01", "--horizon", "30d"], 1, "no row is on or before"),
        (&["soon", "--horizon", "30d"], 2, "--as-of"),
        (&["2026-02-01", "--horizon", "30"], 2, "--horizon"),
    ] {
        let output = output(folder.path(), &[&once[..], rest].concat());
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
    }
}
