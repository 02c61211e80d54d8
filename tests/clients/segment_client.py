"""Segment's own Python client against `lifecycle dev`: `segment_client.py path/to/lifecycle`.

Starts the binary on a free port with its data in memory, sends every kind of call the client has,
one by one and in compressed batches, and reads back over HTTP what became of them. Prints what
failed and "N passed, N failed"; exit code 0 when all passed, 1 otherwise. Needs no network.
"""

import collections
import sys
import tempfile

from dev import TIMEOUT_SECONDS, WRITE_KEY, Checks, everything, get, running

import segment.analytics as analytics
from segment.analytics.client import Client
from segment.analytics.request import APIError

BATCHED = 250


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__.splitlines()[0], file=sys.stderr)
        return 2
    checks = Checks()
    with tempfile.TemporaryDirectory() as folder, running(sys.argv[1], folder) as url:
        every_kind_of_call(checks, url)
        batches_in_the_background(checks, url)
        a_wrong_key(checks, url)
    return checks.finish()


def every_kind_of_call(checks: Checks, url: str) -> None:
    analytics.write_key = WRITE_KEY
    analytics.host = url
    analytics.sync_mode = True
    analytics.timeout = TIMEOUT_SECONDS
    # A call that fails raises here: the client is synchronous.
    analytics.group("ada", "acme", {"name": "Acme", "plan": "team"})
    analytics.identify("ada", {"email": "ada@example.com"})
    for _ in range(3):
        analytics.track("ada", "login", {"browser": "Firefox"})
    analytics.track("ada", "order", {"total": 12.5}, message_id="order-1")
    analytics.track("ada", "order", {"total": 12.5}, message_id="order-1")
    analytics.page("ada", "Docs", "Pricing", {"url": "https://example.com/pricing"})
    analytics.screen("ada", "App", "Home", {"variant": "b"})
    analytics.alias("anonymous-1", "ada")

    acme = get(url, "/api/customers/acme")
    checks.equal("the customer is the account", acme["id"], "acme")
    checks.equal("its traits", acme["traits"], {"name": "Acme", "plan": "team"})
    checks.equal("logins in a week", acme["metrics"]["logins_7d"], 3)
    checks.equal("users in four weeks", acme["metrics"]["active_users_28d"], 1)
    checks.equal("a user answers its account", get(url, "/api/customers/ada")["id"], "acme")

    events = everything(url, "/api/customers/acme/events")
    kinds = collections.Counter(event["type"] for event in events)
    expected = {"group": 1, "identify": 1, "track": 4, "page": 1, "screen": 1, "alias": 1}
    checks.equal("events by kind, a repeated id once", dict(kinds), expected)
    names = collections.Counter(event["event"] for event in events if event["type"] == "track")
    checks.equal("tracked events by name", dict(names), {"login": 3, "order": 1})
    checks.equal("all are the user's", {event["user"] for event in events}, {"ada"})
    order = next(event for event in events if event["event"] == "order")
    checks.equal("the sender's id", order["id"], "order-1")
    checks.equal("the properties", order["properties"], {"total": 12.5})
    checks.equal("the client is known", order["context"]["library"]["name"], "analytics-python")
    page = next(event for event in events if event["type"] == "page")
    checks.equal("a page's name", (page["category"], page["name"]), ("Docs", "Pricing"))
    alias = next(event for event in events if event["type"] == "alias")
    checks.equal("an alias's former id", alias["previousId"], "anonymous-1")


def batches_in_the_background(checks: Checks, url: str) -> None:
    errors: list[Exception] = []
    client = Client(
        WRITE_KEY,
        host=url + "/",
        gzip=True,
        timeout=TIMEOUT_SECONDS,
        on_error=lambda error, _: errors.append(error),
    )
    for number in range(BATCHED):
        client.track(f"user-{number % 7}", "login", {"n": number}, context={"groupId": "globex"})
    client.flush()
    client.shutdown()
    checks.equal("errors of batches", errors, [])
    globex = get(url, "/api/customers/globex")
    checks.equal("batched logins", globex["metrics"]["logins_7d"], BATCHED)
    checks.equal("their users", globex["metrics"]["active_users_28d"], 7)
    numbers = [event["properties"]["n"] for event in everything(url, "/api/customers/globex/events")]
    checks.equal("each batched event, once", sorted(numbers), list(range(BATCHED)))


def a_wrong_key(checks: Checks, url: str) -> None:
    """The client reads status, code and message of a refusal, and does not try again."""
    client = Client("wrong", host=url, sync_mode=True, timeout=TIMEOUT_SECONDS)
    try:
        client.track("mallory", "login")
        refusal = None
    except APIError as error:
        refusal = (error.status, error.code)
    checks.equal("the refusal of a wrong key", refusal, (401, "unknown_write_key"))
    ids = {customer["id"] for customer in everything(url, "/api/customers")}
    checks.equal("nothing else became a customer", ids, {"acme", "globex"})


if __name__ == "__main__":
    sys.exit(main())
