"""Real clients through a network that fails: `faulty_network.py path/to/lifecycle path/to/node_modules`.

Each client sends a batch to `lifecycle dev` through a proxy that makes its first attempts fail:
before anything is stored, and after. Whatever failed, the client's own retries must end in each
event being stored, and counted, exactly once. Prints what failed and "N passed, N failed"; exit
code 0 when all passed, 1 otherwise. Needs no network.
"""

import collections
import concurrent.futures
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Callable

from dev import TIMEOUT_SECONDS, WRITE_KEY, Checks, everything, get, running
from fault_proxy import Fault, FaultProxy, proxying

import rudderstack.analytics.client as rudderstack
import segment.analytics.client as segment

LOGINS = 4
RETRIES = 3
# What happens to the first attempts of a batch, by the name of the account that it tells of.
SCRIPTS = {
    "refused": [Fault.INTERNAL_ERROR],
    "limited": [Fault.RATE_LIMITED],
    "cut-before": [Fault.CUT_BEFORE],
    "cut-after": [Fault.CUT_AFTER],
    "late": [Fault.LATE],
    "cut-twice": [Fault.CUT_AFTER, Fault.CUT_AFTER],
}

# Sends a batch for each account through the proxy of that account; answers the errors by account.
Send = Callable[[dict[str, FaultProxy]], dict[str, list[str]]]


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__.splitlines()[0], file=sys.stderr)
        return 2
    checks = Checks()
    clients: dict[str, Send] = {
        "segment-python": python(segment.Client),
        "rudder-python": python(rudderstack.Client),
        "segment-node": segment_node,
    }
    with tempfile.TemporaryDirectory() as folder, running(sys.argv[1], folder) as url:
        with concurrent.futures.ThreadPoolExecutor(len(clients)) as pool:
            runs = [pool.submit(through_faults, checks, url, *client) for client in clients.items()]
        for run in runs:
            run.result()
    return checks.finish()


def through_faults(checks: Checks, url: str, client: str, send: Send) -> None:
    with contextlib.ExitStack() as stack:
        proxies = {
            f"{client}-{name}": stack.enter_context(proxying(url, script))
            for name, script in SCRIPTS.items()
        }
        errors = send(proxies)
    for (account, proxy), script in zip(proxies.items(), SCRIPTS.values()):
        checks.equal(f"{account}: errors", errors[account], [])
        stored_once(checks, url, account, proxy, script)


def stored_once(
    checks: Checks, url: str, account: str, proxy: FaultProxy, script: list[Fault]
) -> None:
    sent = proxy.attempts[0]
    checks.equal(f"{account}: the script was played", proxy.script, [])
    checks.equal(f"{account}: attempts", proxy.attempts, [sent] * (len(script) + 1))
    events = everything(url, f"/api/customers/{account}/events")
    stored = collections.Counter(event["id"] for event in events)
    checks.equal(f"{account}: events stored", stored, collections.Counter(sent))
    logins = sorted(event["properties"]["n"] for event in events if event["event"] == "login")
    checks.equal(f"{account}: logins", logins, list(range(LOGINS)))
    counted = get(url, f"/api/customers/{account}")["metrics"]["logins_7d"]
    checks.equal(f"{account}: logins counted", counted, LOGINS)
    accepted = [answer["accepted"] for answer in proxy.answers]
    repeated = sum(fault.is_stored for fault in script)
    expected = [len(sent)] + [0] * repeated
    checks.equal(f"{account}: accepted by attempt", accepted, expected)
    duplicates = [answer["duplicates"] for answer in proxy.answers]
    checks.equal(f"{account}: duplicates by attempt", duplicates, [0] + [len(sent)] * repeated)


def python(client: type) -> Send:
    """One of the two Python clients: they have the same face."""

    def send(proxies: dict[str, FaultProxy]) -> dict[str, list[str]]:
        errors: dict[str, list[str]] = {account: [] for account in proxies}
        with concurrent.futures.ThreadPoolExecutor(len(proxies)) as pool:
            for account, proxy in proxies.items():
                pool.submit(send_one, account, proxy, errors[account])
        return errors

    def send_one(account: str, proxy: FaultProxy, errors: list[str]) -> None:
        try:
            sender = client(
                WRITE_KEY,
                host=proxy.url,
                max_retries=RETRIES,
                timeout=TIMEOUT_SECONDS,
                on_error=lambda error, _: errors.append(repr(error)),
            )
            user = f"user-of-{account}"
            sender.group(user, account, {"plan": "team"})
            for n in range(LOGINS):
                sender.track(user, "login", {"n": n})
            sender.shutdown()
        except Exception as error:
            errors.append(repr(error))

    return send


def segment_node(proxies: dict[str, FaultProxy]) -> dict[str, list[str]]:
    targets = [
        {"url": proxy.url, "account": account, "logins": LOGINS}
        for account, proxy in proxies.items()
    ]
    script = Path(__file__).with_name("segment_node.cjs")
    sent = subprocess.run(
        ["node", str(script), WRITE_KEY, json.dumps(targets)],
        env={**os.environ, "NODE_PATH": str(Path(sys.argv[2]).resolve())},
        stdout=subprocess.PIPE,
        timeout=TIMEOUT_SECONDS,
        check=True,
        text=True,
    )
    return json.loads(sent.stdout)


if __name__ == "__main__":
    sys.exit(main())
