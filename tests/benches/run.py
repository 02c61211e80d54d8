"""Benchmarks of the functions beside their peers: `run.py [name of a benchmark] [options]`.

Installs the Python functions that do the same, in `target/peer`. `functions` builds the release binaries,
measures what each takes under a Runtime API and as the table of customers grows, and writes
docs/benchmarks.md; its options are those of `target/debug/measure`. Any other name, `ingest` if none is
given, is one of `cargo bench --workspace`: what is compared runs in one process after the other, on one
engine.
"""

import os
import platform
import subprocess
import sys
import venv
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests"))

from functions import FUNCTIONS, build  # noqa: E402

PEER = ROOT / "target" / "peer"
REQUIREMENTS = Path(__file__).with_name("peer") / "requirements.txt"


def main() -> int:
    if sys.argv[1:2] == ["--help"]:
        print(__doc__)
        return 0
    name, options = (sys.argv[1:2] or ["ingest"])[0], sys.argv[2:]
    if options and name != "functions":
        print(__doc__.splitlines()[0], file=sys.stderr)
        return 2
    python = PEER / "bin" / "python"
    if not python.exists():
        venv.create(PEER, with_pip=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "-r", str(REQUIREMENTS)], check=True)
    if name == "functions":
        return measure(python, options)
    command = ["cargo", "bench", "--locked", "--workspace", "--bench", name]
    environment = {**os.environ, "PEER_PYTHON": str(python)}
    return subprocess.run(command, cwd=ROOT, env=environment).returncode


def measure(python: Path, options: list[str]) -> int:
    """The release binaries, measured by a program of the debug build: it is not what is measured."""
    build(FUNCTIONS)
    # What the tests are built with, so that it is not built twice.
    tests = ["cargo", "test", "--locked", "--workspace", "--no-run", "--test", "scenarios"]
    subprocess.run(tests, cwd=ROOT, check=True)
    machine = f"{os.cpu_count()} cores of {processor()}, {platform.system()} {platform.machine()}"
    told = ["--python", str(python), "--machine", machine, "--date", date.today().isoformat()]
    return subprocess.run(["target/debug/measure", *told, *options], cwd=ROOT).returncode


def processor() -> str:
    """As the system names it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "an unnamed processor"


if __name__ == "__main__":
    sys.exit(main())
