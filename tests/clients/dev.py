"""`lifecycle dev` as a process for checks, and what they read from it. Needs no network."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import urllib.request
from typing import Any, Iterator, Sequence

# Before a client is loaded: nothing for this machine goes through a proxy of somebody else's.
os.environ["NO_PROXY"] = "127.0.0.1"

WRITE_KEY = "dev"
# Beyond this, something hangs.
TIMEOUT_SECONDS = 60


class Checks:
    """Counts what passed, and says what did not."""

    def __init__(self) -> None:
        self.passed = 0
        self.failed = 0

    def equal(self, what: str, found: Any, expected: Any) -> None:
        if found == expected:
            self.passed += 1
            return
        self.failed += 1
        print(f"failed: {what}: {found!r}, expected {expected!r}")

    def finish(self) -> int:
        """Prints the counts; answers the exit code."""
        print(f"{self.passed} passed, {self.failed} failed")
        return 1 if self.failed else 0


@contextlib.contextmanager
def running(binary: str, folder: str, options: Sequence[str] = ("--memory",)) -> Iterator[str]:
    """The address of a `lifecycle dev` that runs in a folder of its own; without options, with the preset."""
    program = str(pathlib.Path(binary).resolve())
    command = [program, "dev", "--port", "0", "--json", "--write-key", WRITE_KEY, *options]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        if not line:
            sys.exit(f"{program} ended with exit code {process.wait()}")
        yield json.loads(line)["listening"]
    finally:
        process.terminate()
        try:
            process.wait(TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def get(url: str, path: str) -> Any:
    with urllib.request.urlopen(url + path, timeout=TIMEOUT_SECONDS) as response:
        return json.load(response)


def everything(url: str, path: str) -> list[Any]:
    """All items of a list."""
    items: list[Any] = []
    cursor = ""
    while True:
        part = get(url, f"{path}?limit=100{cursor}")
        items += part["items"]
        if part["next_cursor"] is None:
            return items
        cursor = f"&cursor={part['next_cursor']}"
