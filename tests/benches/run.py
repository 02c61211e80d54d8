"""Benchmarks of the functions beside their peers: `run.py [name of a benchmark]`.

Installs the Python function that does the same commit, in `target/peer`, and runs
`cargo bench --workspace`. What is compared runs in one process after the other, on one engine.
"""

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PEER = ROOT / "target" / "peer"
REQUIREMENTS = Path(__file__).with_name("peer") / "requirements.txt"


def main() -> int:
    if len(sys.argv) > 2 or sys.argv[1:2] == ["--help"]:
        print(__doc__.splitlines()[0], file=sys.stderr)
        return 2
    python = PEER / "bin" / "python"
    if not python.exists():
        venv.create(PEER, with_pip=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "-r", str(REQUIREMENTS)], check=True)
    name = sys.argv[1] if len(sys.argv) == 2 else "ingest"
    command = ["cargo", "bench", "--locked", "--workspace", "--bench", name]
    environment = {**os.environ, "PEER_PYTHON": str(python)}
    return subprocess.run(command, cwd=ROOT, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
