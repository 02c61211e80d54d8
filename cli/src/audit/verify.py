"""Verifies this audit pack with nothing but Python 3: `python3 verify.py [seal]`.

Every file is named in SHA256SUMS by its hash; the hash of SHA256SUMS is the seal that was told when the
pack was made. Every entry of the journal is sealed by SHA-256 over its own text with an empty `hash`, and
names the hash of the entry before. The root is over the last entries of all journals. Ends with 1 where
something is not so.
"""

import csv
import hashlib
import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
faults = []


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def check(is_so, what):
    if not is_so:
        faults.append(what)


sums = (HERE / "SHA256SUMS").read_bytes()
listed = dict(reversed(line.split("  ", 1)) for line in sums.decode().splitlines())
there = {str(path.relative_to(HERE)) for path in HERE.rglob("*") if path.is_file()} - {"SHA256SUMS"}
for name in sorted(there ^ set(listed)):
    check(False, f"{name}: {'was added' if name in there else 'is missing'}")
for name in sorted(there & set(listed)):
    check(sha256((HERE / name).read_bytes()) == listed[name], f"{name}: was changed")

last = {}
lines = (HERE / "entries.jsonl").read_bytes().splitlines()
for line in lines:
    entry = json.loads(line)["entry"]
    customer = json.loads(line)["customer"]
    # The entry's own text: what was sealed is this with an empty hash.
    text = line[line.index(b'"entry":') + len(b'"entry":') : -1]
    sealed = re.sub(rb'"hash":"[0-9a-f]*"\}$', b'"hash":""}', text)
    before = last.get(customer)
    follows = before is None or entry["seq"] > before[0] + 1 or entry["prev"] == before[1]
    where = f"entry {entry['seq']} of {customer}"
    check(sha256(sealed) == entry["hash"] and follows, f"{where} is not as it was sealed")
    last[customer] = (entry["seq"], entry["hash"])

with open(HERE / "heads.csv", newline="", encoding="utf-8") as file:
    heads = {row["customer"]: row for row in csv.DictReader(file)}
for customer, (number, digest) in last.items():
    head = heads.get(customer, {})
    check((head.get("seq"), head.get("hash")) == (str(number), digest), f"the last entry of {customer} is another")

report = json.loads((HERE / "report.json").read_text(encoding="utf-8"))
root = sha256("".join(f"{digest}\n" for digest in sorted(head["hash"] for head in heads.values())).encode())
check(root == report["root"]["hash"], "the root is not that over heads.csv")
for version in report["versions"]:
    path = HERE / "versions" / f"lifecycle-{version['version']}.yaml"
    check(path.is_file() and sha256(path.read_bytes()) == version["hash"], f"{path.name} is not the file of its hash")

seal = sha256(sums)
if len(sys.argv) > 1:
    check(seal == sys.argv[1].lower(), "the seal is not the one given")
for fault in faults:
    print(fault)
print(f"{len(lines)} entries, {len(heads)} journals, root {root}, seal {seal}: {'NOT ' if faults else ''}verified")
sys.exit(1 if faults else 0)
