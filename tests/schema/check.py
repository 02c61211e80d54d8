"""Checks the JSON Schema that `lifecycle schema` prints: `python tests/schema/check.py target/debug/lifecycle`.

Both presets and a file with every word must be valid against it, each seeded mistake must be refused,
and whatever the command itself takes the schema must take too. Exit code 0 when all of that holds.
Needs no network.
"""

import copy
import json
import pathlib
import subprocess
import sys
import tempfile

import jsonschema
import yaml

HERE = pathlib.Path(__file__).parent


class Loader(yaml.SafeLoader):
    """YAML 1.2 words, as editors read them: `no` is a text, and so is 2026-12-25."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:bool")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver("tag:yaml.org,2002:bool", __import__("re").compile("^(?:true|false)$"), list("tf"))

# A path in the file, and what is put there.
MISTAKES = [
    (["stags"], {}),
    (["version"], 2),
    (["version"], None),
    (["stages"], []),
    (["stages", "onboarding", "enter", "wen"], "x > 1"),
    (["stages", "onboarding", "enter", "when"], {"every": ["x > 1"]}),
    (["stages", "onboarding", "target"], None),
    (["stages", "onboarding", "handoff"], {"ack_within": "2d"}),
    (["stages", "onboarding", "checkpoints", "kickoff"], {"target": "2d"}),
    (["stages", "onboarding", "exits"], [{"at_once": True}]),
    (["stages", "two words"], {}),
    (["traits", "plan"], "txt"),
    (["traits", "plan"], []),
    (["metrics", "logins"], {"cuont": "login"}),
    (["metrics", "logins_7d", "roll_up"], "parent"),
    (["subject"], "acount"),
    (["overlays"], [{"stages": {}}]),
    (["overlays"], [{"for": "segment.big", "stages": {"onboarding": {"exits": []}}}]),
    (["feeds"], {"crm": {"schema": "stripe"}}),
    (["feeds"], {"crm": {"scheme": "strip"}}),
    (["feeds"], {"crm": {"scheme": {"hmac": {"prefix": "v1="}}}}),
    (["feeds"], {"crm": {"map": [{"event": "call", "user": "id", "when": {"type": []}}]}}),
    (["feeds"], {"crm": {"map": [{"event": "call", "user": "id", "traits": ["a"]}]}}),
    (["health", "factors", "usage", "weight"], "many"),
    (["standards", "stuck", "severity"], "loud"),
    (["standards", "stuck", "owner"], ["a", "b"]),
]


def main() -> int:
    lifecycle = pathlib.Path(sys.argv[1]).resolve()
    schema = json.loads(subprocess.run([lifecycle, "schema"], capture_output=True, check=True).stdout)
    jsonschema.Draft7Validator.check_schema(schema)
    validator = jsonschema.Draft7Validator(schema)
    failed = 0

    def report(name: str, is_good: bool, why: str = "") -> None:
        nonlocal failed
        failed += not is_good
        print(f"{'ok  ' if is_good else 'FAIL'} {name}{': ' + why if why and not is_good else ''}")

    with tempfile.TemporaryDirectory() as folder:
        sources = {}
        for preset in ("b2b-saas", "ecommerce"):
            path = pathlib.Path(folder) / f"{preset}.yaml"
            subprocess.run([lifecycle, "init", "--preset", preset, path], capture_output=True, check=True)
            sources[preset] = path.read_text()
            beside = json.loads((path.parent / "lifecycle.schema.json").read_text())
            report(f"{preset}: the schema is written beside it", beside == schema)
        sources["every word"] = (HERE / "every_word.yaml").read_text()
        for name, source in sources.items():
            errors = [error.message for error in validator.iter_errors(yaml.load(source, Loader))]
            report(f"{name} is valid against the schema", not errors, "; ".join(errors))
            run = subprocess.run([lifecycle, "validate", "-"], input=source, capture_output=True, text=True, check=False)
            report(f"{name} is valid to the command", run.returncode == 0, run.stderr)
        base = yaml.load(sources["b2b-saas"], Loader)
        for path, value in MISTAKES:
            wrong = copy.deepcopy(base)
            place = wrong
            for key in path[:-1]:
                place = place.setdefault(key, {})
            place[path[-1]] = value
            report(f"refused: {'.'.join(path)}: {json.dumps(value)}", not validator.is_valid(wrong))
            text = json.dumps(wrong)
            run = subprocess.run([lifecycle, "validate", "-"], input=text, capture_output=True, text=True, check=False)
            report(f"refused by the command: {'.'.join(path)}", run.returncode == 1, run.stdout)
    print(f"{failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
