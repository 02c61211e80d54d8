"""Runs the 20 rules of `rules.json` through cel-python and json-logic-js, beside ours.

    python3 -m venv target/venv
    target/venv/bin/pip install -r shared/domain/benches/rules/requirements.txt
    target/venv/bin/python shared/domain/benches/rules/compare.py

Runs `cargo bench -p domain --bench rules` first, then the others on the same 64 customers, and prints
one table: time for all 20 rules for one customer, and how many of the 1,280 answers are yes. json-logic-js
is installed below the target folder, by npm. Ends with 1 where the answers differ.
"""

import json
import os
import pathlib
import subprocess
import sys
import time

import celpy

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[3]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
RULES = HERE / "rules.json"
CUSTOMERS = 64
READY = "20 rules over 30 metrics"
STORED = "20 rules over 30 metrics of a stored customer"


def customers(metrics):
    """The same numbers as the Rust bench makes up."""
    state, rows = 2026, []
    for _ in range(CUSTOMERS):
        row = {}
        for index in range(metrics):
            state = (state * 1103515245 + 12345) % 2147483648
            row[celpy.celtypes.StringType(f"m{index}")] = celpy.celtypes.DoubleType(state // 65536 % 50)
        rows.append({"metrics": celpy.celtypes.MapType(row)})
    return rows


def of_rust():
    """Microseconds and yes answers by group and name, from the bench's own lines and criterion's files."""
    command = ["cargo", "bench", "-p", "domain", "--bench", "rules", "--", "--noplot"]
    run = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    for line in run.stdout.splitlines():
        if not line.startswith("figures: "):
            continue
        told = json.loads(line.removeprefix("figures: "))
        folder = TARGET / "criterion" / told["group"] / told["name"]
        estimates = json.loads((folder / "new" / "estimates.json").read_text())
        yield (told["group"], told["name"]), (estimates["mean"]["point_estimate"] / 1e3, told["yes"])


def of_cel_python():
    file = json.loads(RULES.read_text())
    environment = celpy.Environment()
    programs = [environment.program(environment.compile(rule["cel"])) for rule in file["rules"]]
    rows = customers(file["metrics"])
    yes, began = 0, time.process_time()
    for row in rows:
        for program in programs:
            try:
                yes += bool(program.evaluate(row))
            except celpy.CELEvalError:
                pass
    return (time.process_time() - began) / CUSTOMERS * 1e6, yes


def of_json_logic():
    peers = TARGET / "peers"
    peers.mkdir(parents=True, exist_ok=True)
    (peers / "package.json").write_text((HERE / "package.json").read_text())
    quiet = ["--no-audit", "--no-fund", "--ignore-scripts", "--silent"]
    subprocess.run(["npm", "install", *quiet], cwd=peers, check=True)
    environment = {**os.environ, "NODE_PATH": str(peers / "node_modules")}
    command = ["node", str(HERE / "json_logic.cjs"), str(RULES)]
    run = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    told = json.loads(run.stdout)
    return told["micros"], told["yes"]


def main():
    ours = dict(of_rust())
    table = [
        ("this language", ours[READY, "this language"]),
        ("Rust closures", ours[READY, "Rust closures"]),
        ("cel crate", ours[READY, "the cel crate"]),
        ("json-logic-js", of_json_logic()),
        ("cel-python", of_cel_python()),
        ("this language, stored customer", ours[STORED, "this language"]),
        ("Rust closures, stored customer", ours[STORED, "Rust closures"]),
    ]
    unit, _ = ours[READY, "this language"]
    print(f"{'20 rules over 30 metrics':32}{'µs':>12}{'times':>10}{'yes':>6}")
    for name, (micros, yes) in table:
        print(f"{name:32}{micros:12,.2f}{micros / unit:10,.2f}{yes:6}")
    # What divides by zero is unknown here, and more than anything to the others.
    answers = {name: yes for name, (_, yes) in table}
    ours_yes, theirs = answers["this language"], answers["cel crate"]
    same = ["Rust closures", "this language, stored customer", "Rust closures, stored customer"]
    is_same = all(answers[name] == ours_yes for name in same)
    is_same &= answers["json-logic-js"] == answers["cel-python"] == theirs
    if not is_same:
        print("the answers differ: the times compare nothing")
    return 0 if is_same else 1


if __name__ == "__main__":
    sys.exit(main())
