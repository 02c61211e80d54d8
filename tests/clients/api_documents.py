"""The APIs against their own OpenAPI documents: `api_documents.py path/to/lifecycle`.

Starts `lifecycle dev` with some history, and lets schemathesis call every operation of both
documents with what they allow and with what they do not: whatever is answered must be in the
document, and nothing may fail. Exit code 0 when all held. Needs no network.
"""

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from dev import TIMEOUT_SECONDS, WRITE_KEY, running

# Beyond this, something hangs.
RUN_TIMEOUT_SECONDS = 600
DOCUMENTS = {
    "console": ["/api/openapi.json"],
    # The short paths of browsers are the long ones again.
    "ingest": [
        "/v1/openapi.json",
        "--auth",
        f"{WRITE_KEY}:",
        "--exclude-path-regex",
        "^/v1/[a-z]$",
    ],
}


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__.splitlines()[0], file=sys.stderr)
        return 2
    failed = []
    with tempfile.TemporaryDirectory() as folder, running(sys.argv[1], folder) as url:
        some_history(url)
        for name, arguments in DOCUMENTS.items():
            if not conforms(url, folder, arguments):
                failed.append(name)
    for name in failed:
        print(f"failed: {name} does not do what its document says")
    return 1 if failed else 0


def some_history(url: str) -> None:
    """A customer with events, and something set aside."""
    calls = [
        {"type": "group", "userId": "ada", "groupId": "acme", "traits": {"plan": "team"}},
        {"type": "track", "userId": "ada", "event": "login"},
        {"type": "nothing of the kind"},
    ]
    body = json.dumps({"batch": calls, "writeKey": WRITE_KEY}).encode()
    with urllib.request.urlopen(url + "/v1/batch", body, timeout=TIMEOUT_SECONDS) as answer:
        counts = json.load(answer)
    assert (counts["accepted"], len(counts["rejected"])) == (2, 1), counts


def conforms(url: str, folder: str, arguments: list[str]) -> bool:
    tool = [str(Path(sys.executable).with_name("schemathesis")), "--no-color"]
    config = str(Path(__file__).with_name("schemathesis.toml"))
    document, *rest = arguments
    run = subprocess.run(
        [*tool, "--config-file", config, "run", "--warnings", "off", url + document, *rest],
        cwd=folder,
        env={**os.environ, "API_URL": url},
        timeout=RUN_TIMEOUT_SECONDS,
    )
    return run.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
