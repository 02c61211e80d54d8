"""The functions, and how they are built for release: as `sam build` does, each in its folder."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FUNCTIONS = ("ingest", "evaluate", "score", "comply", "notify", "console")


def config(name: str) -> tuple[str, ...]:
    """What the folder of a function adds to how cargo builds there."""
    path = Path("functions", name, ".cargo", "config.toml")
    return ("--config", str(path)) if (ROOT / path).is_file() else ()


def build(names: list[str] | tuple[str, ...], folder: Path = ROOT, environment: dict[str, str] | None = None) -> None:
    """Builds these functions from the sources in a folder, together those that are built alike."""
    for alike in sorted({config(name) for name in names}):
        binaries = [part for name in names if config(name) == alike for part in ("--bin", name)]
        command = ["cargo", "build", "--locked", "--workspace", "--release", *alike, *binaries]
        subprocess.run(command, cwd=folder, check=True, env={**os.environ, **(environment or {})})
