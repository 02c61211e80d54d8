"""Times cel-python on the rules: `python cel_python.py rules.json`."""

import json
import sys
import time

import celpy

CUSTOMERS = 64


def customers(metrics: int) -> list[dict]:
    """The same numbers as the Rust bench makes up."""
    state, rows = 2026, []
    for _ in range(CUSTOMERS):
        row = {}
        for index in range(metrics):
            state = (state * 1103515245 + 12345) % 2147483648
            row[f"m{index}"] = celpy.celtypes.DoubleType(state // 65536 % 50)
        rows.append({"metrics": celpy.celtypes.MapType({celpy.celtypes.StringType(k): v for k, v in row.items()})})
    return rows


def main() -> None:
    file = json.load(open(sys.argv[1], encoding="utf-8"))
    environment = celpy.Environment()
    programs = [environment.program(environment.compile(rule["cel"])) for rule in file["rules"]]
    rows = customers(file["metrics"])
    answers = 0
    start = time.process_time()
    for row in rows:
        for program in programs:
            try:
                answers += bool(program.evaluate(row))
            except celpy.CELEvalError:
                pass
    took = time.process_time() - start
    print(f"cel-python {celpy.__version__ if hasattr(celpy, '__version__') else ''}: {took / CUSTOMERS * 1e6:,.0f} µs for 20 rules, {answers} yes")


if __name__ == "__main__":
    main()
