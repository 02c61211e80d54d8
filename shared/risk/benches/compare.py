"""Trains LightGBM and interpret's EBM on the folds that the tests use, beside ours.

    python3 -m venv target/venv && target/venv/bin/pip install -r shared/risk/benches/requirements.txt
    cargo build --release --bin lifecycle
    target/venv/bin/python shared/risk/benches/compare.py target/release/lifecycle

Prints mean AUC, log-loss and pooled calibration error over the same folds, and CPU seconds a fit.
"""

import json
import pathlib
import subprocess
import sys
import time

import lightgbm
import numpy
import pandas
from interpret.glassbox import ExplainableBoostingClassifier
from sklearn.metrics import log_loss, roc_auc_score

DATA = pathlib.Path(__file__).parent.parent / "data"
CATEGORIES = {
    "telco": "gender Partner Dependents PhoneService MultipleLines InternetService OnlineSecurity "
    "OnlineBackup DeviceProtection TechSupport StreamingTV StreamingMovies Contract "
    "PaperlessBilling PaymentMethod".split(),
    "mlc": "state area_code international_plan voice_mail_plan".split(),
}


def calibration_error(probabilities, labels):
    order = numpy.argsort(probabilities, kind="stable")
    parts = numpy.array_split(order, 10)
    gaps = [len(part) * abs(probabilities[part].mean() - labels[part].mean()) for part in parts]
    return sum(gaps) / len(labels)


def light_gbm(seed):
    # The best of those tried by three-fold log-loss on other folds.
    return lightgbm.LGBMClassifier(
        num_leaves=4, n_estimators=400, learning_rate=0.03, random_state=seed, n_jobs=1, verbose=-1
    )


def ebm(seed):
    return ExplainableBoostingClassifier(outer_bags=6, random_state=seed, n_jobs=1)


def theirs(make, name, folds):
    table = pandas.read_csv(DATA / f"{name}.csv")
    labels = table["y"].to_numpy()
    inputs = table.drop(columns=["y", "f0", "f1", "f2"])
    for column in CATEGORIES[name]:
        inputs[column] = inputs[column].astype("category")
    aucs, losses, errors, seconds, fits = [], [], [], 0.0, 0
    for column in folds:
        pooled = numpy.zeros(len(labels))
        for fold in range(5):
            test = (table[column] == fold).to_numpy()
            began = time.process_time()
            model = make(42).fit(inputs[~test], labels[~test])
            seconds += time.process_time() - began
            fits += 1
            pooled[test] = model.predict_proba(inputs[test])[:, 1]
            aucs.append(roc_auc_score(labels[test], pooled[test]))
            losses.append(log_loss(labels[test], pooled[test]))
        errors.append(calibration_error(pooled, labels))
    return numpy.mean(aucs), numpy.mean(losses), numpy.mean(errors), seconds / fits


def ours(command, name, folds):
    others = [column for column in ["f0", "f1", "f2"] if column not in folds]
    arguments = [command, "train", "--table", DATA / f"{name}.csv", "--target", "y", "--json"]
    arguments += ["--folds", ",".join(folds), "--categorical", ",".join(CATEGORIES[name])]
    if others:
        arguments += ["--ignore", ",".join(others)]
    import resource

    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    answer = json.loads(subprocess.run(arguments, check=True, capture_output=True).stdout)
    seconds = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    mean = answer["mean"]
    # One more fit is that on all rows.
    return mean["auc"], mean["log_loss"], answer["pooled"]["ece"], seconds / (5 * len(folds) + 1)


def main():
    command = sys.argv[1]
    folds = sys.argv[2].split(",") if len(sys.argv) > 2 else ["f0"]
    print(f"{'':8}{'':12}{'AUC':>9}{'log-loss':>10}{'ECE':>9}{'s a fit':>9}")
    for name in CATEGORIES:
        for who, run in [
            ("lifecycle", lambda: ours(command, name, folds)),
            ("LightGBM", lambda: theirs(light_gbm, name, folds)),
            ("interpret", lambda: theirs(ebm, name, folds)),
        ]:
            auc, loss, error, seconds = run()
            print(f"{name:8}{who:12}{auc:9.4f}{loss:10.4f}{error:9.4f}{seconds:9.2f}", flush=True)


if __name__ == "__main__":
    main()
