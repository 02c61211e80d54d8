"""How long one tracking call takes at `lifecycle dev`: `latency.py path/to/lifecycle [calls]`.

Prints percentiles of calls that are stored, beside those of a request that stores nothing, and the
limit of 50 ms for the 99th. One call is under way at a time, over one connection, as a sender on an
idle machine has it. Exit code 0 when the limit holds.
"""

import http.client
import json
import sys
import tempfile
import time
import urllib.parse
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "clients"))

from dev import TIMEOUT_SECONDS, WRITE_KEY, running  # noqa: E402

LIMIT_SECONDS = 0.05
CUSTOMERS = 200
# The caches are filled and the tables known.
WARM_UP = 50


def main() -> int:
    if len(sys.argv) not in (2, 3):
        print(__doc__.splitlines()[0], file=sys.stderr)
        return 2
    calls = int(sys.argv[2]) if len(sys.argv) == 3 else 2_000
    with tempfile.TemporaryDirectory() as folder, running(sys.argv[1], folder) as url:
        host = urllib.parse.urlsplit(url).netloc
        connection = http.client.HTTPConnection(host, timeout=TIMEOUT_SECONDS)
        nothing = [took(connection, "GET", "/v1/openapi.json", None) for _ in range(calls)]
        stored = [took(connection, "POST", "/v1/track", track(n)) for n in range(calls + WARM_UP)]
    report("a request that stores nothing", nothing)
    p99 = report("a tracking call", stored[WARM_UP:])
    print(f"limit for p99 of a tracking call: {LIMIT_SECONDS * 1000:.0f} ms")
    return 0 if p99 <= LIMIT_SECONDS else 1


def track(number: int) -> bytes:
    customer = number % CUSTOMERS
    call = {
        "writeKey": WRITE_KEY,
        "event": "login",
        "userId": f"user-{customer}",
        "messageId": f"call-{number}",
        "context": {"groupId": f"account-{customer}"},
    }
    return json.dumps(call).encode()


def took(connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None) -> float:
    begin = time.perf_counter()
    connection.request(method, path, body)
    answer = connection.getresponse()
    text = answer.read()
    seconds = time.perf_counter() - begin
    assert answer.status == 200, (answer.status, text)
    return seconds


def report(what: str, seconds: list[float]) -> float:
    """Prints percentiles; answers the 99th."""
    seconds = sorted(seconds)
    at = {share: seconds[min(len(seconds) - 1, int(len(seconds) * share))] for share in (0.5, 0.9, 0.99)}
    shown = ", ".join(f"p{share * 100:.0f} {value * 1000:.2f} ms" for share, value in at.items())
    print(f"{what}: {shown}, worst {seconds[-1] * 1000:.2f} ms ({len(seconds)} calls)")
    return at[0.99]


if __name__ == "__main__":
    sys.exit(main())
