"""Builds functions for release twice and compares the bytes: `reproducible.py [FUNCTION ...]`.

Each build has a folder of its own, with sources as they are committed and nothing of the other's. What they
share is what has to be the same on another machine, too: the compiler and Cargo.lock; names of folders are
left out. Without a name all functions are built, which takes two release builds. Exit code 0 where every
byte is the same, 1 where not, 2 for a name that is no function's.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests"))

from functions import FUNCTIONS, build  # noqa: E402

PLACE = ROOT / "target" / "reproducible"


def main() -> int:
    wanted = sys.argv[1:] or FUNCTIONS
    if "--help" in wanted:
        print(__doc__)
        return 0
    if unknown := [name for name in wanted if name not in FUNCTIONS]:
        print(f"{unknown[0]} is no function; there are {', '.join(FUNCTIONS)}", file=sys.stderr)
        return 2
    first, second = (built(folder, wanted) for folder in ("one", "another-folder"))
    differ = 0
    for name in wanted:
        is_same = first[name] == second[name]
        differ += not is_same
        print(f"{'same' if is_same else 'DIFFER'}  {name:<9} {first[name]}" + ("" if is_same else f" {second[name]}"))
    shutil.rmtree(PLACE)
    return 1 if differ else 0


def built(folder: str, functions: list[str]) -> dict[str, str]:
    """The hashes of functions that are built from what is committed, in a new folder."""
    sources = PLACE / folder
    shutil.rmtree(sources, ignore_errors=True)
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=BytesIO(archive)) as committed:
        committed.extractall(sources, filter="data")
    cargo_home = os.environ.get("CARGO_HOME", Path.home() / ".cargo")
    environment = {
        "CARGO_TARGET_DIR": str(sources / "target"),
        "RUSTFLAGS": f"--remap-path-prefix={sources}=/src --remap-path-prefix={cargo_home}=/cargo",
    }
    build(functions, sources, environment)
    release = sources / "target" / "release"
    return {name: hashlib.sha256((release / name).read_bytes()).hexdigest() for name in functions}


if __name__ == "__main__":
    sys.exit(main())
