"""The functions, and how they are built for release: as template.yaml has them built."""

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FUNCTIONS = ("ingest", "evaluate", "score", "comply", "notify", "console")


def flags(name: str) -> tuple[str, ...]:
    """What `cargo` is told for this function alone."""
    properties = re.search(rf"BuildProperties: {{ Binary: {name}(?:, Flags: \[(.*)\])? }}", (ROOT / "template.yaml").read_text())
    if properties is None:
        raise ValueError(f"template.yaml does not say how {name} is built")
    return tuple(flag.strip().strip('"') for flag in (properties[1] or "").split(",") if flag)


def build(names: list[str] | tuple[str, ...], folder: Path = ROOT, environment: dict[str, str] | None = None) -> None:
    """Builds these functions from the sources in a folder, together those that have the same flags."""
    for those in sorted({flags(name) for name in names}):
        binaries = [part for name in names if flags(name) == those for part in ("--bin", name)]
        command = ["cargo", "build", "--locked", "--workspace", "--release", *those, *binaries]
        subprocess.run(command, cwd=folder, check=True, env={**os.environ, **(environment or {})})
