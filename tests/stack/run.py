"""The whole stack on this machine, without Docker: `tests/stack/run.py [FOLDER-OF-BINARIES]`.

Deploys template.yaml to a local AWS emulator that runs the functions' binaries (of `target/debug`
unless told otherwise) with the credentials of their roles, sends events, waits for the schedules,
and hears the messages; then holds every call that a function made to its policy. Takes about four
minutes. What it needs is installed in `target/stack-venv`; where that is not to be had, it says
SKIPPED and exits with 0.
"""

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
sys.path.append(str(ROOT / "tests"))

from functions import FUNCTIONS  # noqa: E402

ENVIRONMENT = ROOT / "target" / "stack-venv"


def main() -> int:
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    binaries = Path(sys.argv[1] if len(sys.argv) > 1 else target / "debug").resolve()
    if missing := [name for name in (*FUNCTIONS, "lifecycle") if not (binaries / name).is_file()]:
        print(f"{binaries} has no {', '.join(missing)}: run `cargo build --workspace --bins` first", file=sys.stderr)
        return 2
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        venv.create(ENVIRONMENT, with_pip=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if subprocess.run([*pip, "-r", str(HERE / "requirements.txt")]).returncode != 0:
        print("SKIPPED: the local AWS emulator could not be installed, so NOTHING WAS DEPLOYED AND NOTHING PROVEN")
        return 0
    return subprocess.run([str(python), str(HERE / "check.py"), str(binaries)]).returncode


if __name__ == "__main__":
    sys.exit(main())
