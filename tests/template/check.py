"""Checks template.yaml without AWS: `python tests/template/check.py [--self-test] [template]`.

Three layers, because each misses what another finds: `sam validate --lint` on the file, cfn-lint on
what SAM translates it to, and our own rules. `--self-test` seeds mistakes and proves each is caught.
Exit code 0 when all passed, 1 otherwise. Needs neither credentials nor a network.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from typing import Iterator

# Set before the libraries are loaded: they read them on import, and without a region they ask.
REGION = "eu-central-1"
os.environ.update(
    AWS_DEFAULT_REGION=REGION,
    AWS_REGION=REGION,
    AWS_ACCESS_KEY_ID="offline",
    AWS_SECRET_ACCESS_KEY="offline",
    AWS_EC2_METADATA_DISABLED="true",
    SAM_CLI_TELEMETRY="0",
)

from cfnlint.api import lint_all  # noqa: E402

from rules import ROOT, RULES  # noqa: E402
from stack import NotTranslatable, Stack  # noqa: E402


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("template", nargs="?", type=pathlib.Path, default=ROOT / "template.yaml")
    arguments.add_argument("--self-test", action="store_true", help="seed mistakes and prove that each is caught")
    options = arguments.parse_args()
    text = options.template.read_text()
    if options.self_test:
        from seeds import outcomes

        return report(outcomes(text))
    return report(checks(text))


def checks(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each check's name with the problems it found."""
    yield "sam validate --lint", sam_problems(text)
    try:
        stack = Stack(text)
    except NotTranslatable as error:
        yield "translate", [str(error)]
        return
    yield "cfn-lint, translated", lint_problems(stack)
    for rule in RULES:
        yield rule.__name__.replace("_", " "), list(rule(stack))


def report(results: Iterator[tuple[str, list[str]]]) -> int:
    passed = failed = 0
    for name, problems in results:
        passed, failed = (passed, failed + 1) if problems else (passed + 1, failed)
        print(f"{'FAIL' if problems else 'ok  '} {name}", flush=True)
        for problem in problems:
            print(f"       {problem}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def sam_problems(text: str) -> list[str]:
    """What SAM's own command says. It is run where no configuration of SAM's is found."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "template.yaml"
        path.write_text(text)
        sam = pathlib.Path(sys.executable).with_name("sam")
        command = [sam, "validate", "--lint", "--template", path, "--region", REGION]
        run = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    if run.returncode == 0:
        return []
    lines = [line.strip() for line in (run.stdout + run.stderr).splitlines()]
    return [line for line in lines if line] or [f"sam ended with {run.returncode}"]


def lint_problems(stack: Stack) -> list[str]:
    """Errors and warnings of cfn-lint; its informational notes are advice, not faults."""
    matches = lint_all(json.dumps(stack.translated, default=str))
    return [f"{match.rule.id} {'/'.join(map(str, match.path or []))}: {match.message}" for match in matches if match.rule.id[0] in "EW"]


if __name__ == "__main__":
    sys.exit(main())
