"""How long it takes from a decision to its message at `lifecycle dev`: `alarm.py path/to/lifecycle [count]`.

Customers enter a stage one after the other, each a group of its own with `group_wait: 0s`. Prints percentiles
of the time from the journal entry to the message that SNS took, and from the tracking call to it, beside
the limit of 2 s for the 99th of the first. Exit code 0 when the limit holds.
"""

import json
import pathlib
import random
import re
import sys
import tempfile
import time
import urllib.request
from datetime import datetime

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "clients"))

from dev import TIMEOUT_SECONDS, WRITE_KEY, get, running  # noqa: E402
from latency import report  # noqa: E402

LIMIT_SECONDS = 2.0
FILE = """
version: 1
subject: user
metrics: { logins: { count: login, over: 7d } }
stages: { active: { enter: { when: metrics.logins > 0, priority: 1 } } }
alerts:
  group_by: [customer]
  group_wait: 0s
  routes: [{ match: { kind: stage }, to: team }]
  receivers: { team: { sns: team } }
"""
# A line of a message: the customer, what happened, when the entry was written.
LINE = re.compile(r"^- .*, (\S+Z)(?: \(new\))? \[(user-\d+)\]$", re.MULTILINE)


def main() -> int:
    if len(sys.argv) not in (2, 3):
        print(__doc__.splitlines()[0], file=sys.stderr)
        return 2
    count = int(sys.argv[2]) if len(sys.argv) == 3 else 60
    rng = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "lifecycle.yaml").write_text(FILE)
        with running(sys.argv[1], folder) as url:
            sent = {}
            for number in range(count):
                # At any time between two looks at the stream.
                time.sleep(rng.uniform(0.05, 0.35))
                sent[f"user-{number}"] = time.time()
                track(url, number)
            told = messages(url, count)
    if len(told) != count:
        print(f"{len(told)} of {count} customers were told of", file=sys.stderr)
        return 1
    p99 = report("from the journal entry to its message", [told[who][1] - told[who][0] for who in told])
    report("from the tracking call to the message", [told[who][1] - sent[who] for who in told])
    print(f"limit for p99 from the journal entry: {LIMIT_SECONDS:.0f} s")
    return 0 if p99 <= LIMIT_SECONDS else 1


def track(url: str, number: int) -> None:
    call = {"writeKey": WRITE_KEY, "event": "login", "userId": f"user-{number}", "messageId": f"call-{number}"}
    request = urllib.request.Request(f"{url}/v1/track", json.dumps(call).encode(), {"content-type": "application/json"})
    urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS).close()


def messages(url: str, count: int) -> dict[str, tuple[float, float]]:
    """By customer: when the entry was written, and when the message was taken."""
    until = time.monotonic() + TIMEOUT_SECONDS
    told: dict[str, tuple[float, float]] = {}
    while len(told) < count and time.monotonic() < until:
        time.sleep(0.5)
        for one in get(url, "/dev/sns"):
            taken = datetime.fromisoformat(one["published_at"]).timestamp()
            for since, who in LINE.findall(json.loads(one["message"])["email"]):
                told.setdefault(who, (datetime.fromisoformat(since).timestamp(), taken))
    return told


if __name__ == "__main__":
    sys.exit(main())
