"""Holds what the workspace depends on to what is said of it: `check.py [FOLDER-OF-CARGO-DENY]`.

Every direct dependency has a line with its reason in docs/dependencies.md, and every line has its
dependency; `cargo deny` finds no licence, source or crate that deny.toml refuses. Advisories are
looked at where their database can be had, and loudly left out where it cannot. Exit code 0 when all held.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]
LINE = re.compile(r"^\| `([^`]+)` \| (.+) \|$", re.MULTILINE)


def main() -> int:
    told = dict(LINE.findall((ROOT / "docs/dependencies.md").read_text()))
    used = direct()
    problems = [f"docs/dependencies.md has no reason for {name}" for name in sorted(used - set(told))]
    problems += [f"docs/dependencies.md tells of {name}, which nothing depends on" for name in sorted(set(told) - used)]
    for problem in problems:
        print(f"FAIL {problem}")
    if not problems:
        print(f"{len(used)} direct dependencies, each with its reason")
    is_allowed = deny("bans", "licenses", "sources")
    return 0 if is_allowed and are_advisories_clear() and not problems else 1


def direct() -> set[str]:
    """What the packages of the workspace name themselves, but for one another."""
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--no-deps"]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout)
    packages: list[dict[str, Any]] = metadata["packages"]
    own = {package["name"] for package in packages}
    return {dependency["name"] for package in packages for dependency in package["dependencies"]} - own


def are_advisories_clear() -> bool:
    run = cargo_deny("advisories", output=subprocess.PIPE)
    if "failed to fetch advisory database" in run.stdout:
        print("SKIPPED: the database of advisories cannot be had here, so NO ADVISORY WAS LOOKED AT")
        return True
    print(run.stdout, end="")
    return run.returncode == 0


def deny(*checks: str) -> bool:
    return cargo_deny(*checks, output=None).returncode == 0


def cargo_deny(*checks: str, output: int | None) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([*(str(pathlib.Path(folder).resolve()) for folder in sys.argv[1:2]), os.environ["PATH"]])
    command = ["cargo", "deny", "--locked", "--all-features", "check", *checks]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "PATH": path}, stdout=output, stderr=subprocess.STDOUT if output else None, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main())
