"""Uses a deployed stack in every way that makes a function ask something else of AWS.

What becomes of each use is checked elsewhere, on the functions themselves; here it has to succeed
with the permissions that there are, and to have happened before permissions are compared.
"""

import hashlib
import hmac
import json
from datetime import datetime, timedelta, timezone
from typing import Any

from emulator import ROOT
from workspace import AUTHOR, Answer, Workspace, until

SECRET = "whsec_of_the_stack"


def check(workspace: Workspace, expect: Any) -> None:
    """An account `acme` in its stage, with an open finding, is there already."""

    def good(what: str, answer: Answer) -> Any:
        expect(what, (answer.status, answer.status < 300 or answer.body), (answer.status, True))
        return answer.body

    identities(workspace, good)
    doubtful_clocks(workspace, good)
    what_cannot_be_taken(workspace, good)
    decisions_by_hand(workspace, good)
    alerts(workspace, good)
    shoppers(workspace, good)
    sweeps(workspace, good)
    reads(workspace, good)
    privacy(workspace, good)


def instant(**ago: int) -> str:
    return (datetime.now(timezone.utc) - timedelta(**ago)).strftime("%Y-%m-%dT%H:%M:%SZ")


def identities(workspace: Workspace, good: Any) -> None:
    """A user with a stage, tasks and findings of its own, who then is told to belong to an account."""
    good("a user without an account", workspace.send([
        {"type": "identify", "userId": "bob", "messageId": "bob-1", "traits": {"plan": "team", "phone": "+4912345"}},
        {"type": "track", "userId": "bob", "event": "survey", "messageId": "bob-2", "timestamp": instant(days=9)},
        {"type": "track", "anonymousId": "anon-1", "event": "login", "messageId": "anon-1"},
    ]))
    workspace.run("Evaluate", "evaluate-due", "due", instant(minutes=-1))
    workspace.run("Comply", "comply-by-hand", "all", instant())
    good("its account", workspace.send([{"type": "group", "userId": "bob", "groupId": "globex", "messageId": "bob-3", "traits": {"name": "Globex", "parent": "acme"}}]))
    good("its other name", workspace.send([{"type": "alias", "previousId": "anon-1", "userId": "bob", "messageId": "bob-4"}]))


def doubtful_clocks(workspace: Workspace, good: Any) -> None:
    """An event of a clock that is ahead is kept by when it came, and found again when it is repeated."""
    ahead = {"type": "track", "userId": "acme-ada", "event": "login", "messageId": "ahead", "timestamp": instant(hours=-5)}
    for _ in range(2):
        good("an event from the future", workspace.send([ahead]))


def what_cannot_be_taken(workspace: Workspace, good: Any) -> None:
    workspace.lifecycle("secrets", "add", "crm", "--secret-stdin", stdin=SECRET)
    deals = [{"account": {"id": "acme"}, "user": "acme-ada"}, {"account": {}}, {"user": {"no": "id"}}]
    for number, deal in enumerate(deals):
        body = json.dumps({**deal, "number": number}).encode()
        signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        workspace.request("POST", "/v1/webhooks/crm", body, {"x-signature": signature})
    workspace.send([{"type": "track", "event": "nobody's", "messageId": "nobody-1"}])
    items = good("what was set aside", workspace.api("GET", "/api/quarantine"))["items"]
    good("one of it", workspace.api("GET", f"/api/quarantine/{items[0]['id']}"))
    good("taken again", workspace.api("POST", f"/api/quarantine/{items[0]['id']}/replay"))
    good("all of it", workspace.api("POST", "/api/quarantine/replay", {"all": True}))
    good("dropped", workspace.api("DELETE", f"/api/quarantine/{items[-1]['id']}"))


def decisions_by_hand(workspace: Workspace, good: Any) -> None:
    customer = "/api/customers/acme"
    by = {"author": AUTHOR, "reason": "a test", "note": "a test"}
    posts = [
        ("handoff/ack", {}),
        ("findings/owner_known/ack", {"outcome": "useful"}),
        ("findings/owner_known/waive", {"until": instant(days=-9)}),
        ("tasks/welcome.kickoff/check", {"item": "agree on goals"}),
        ("tasks/welcome.kickoff/snooze", {"until": instant(days=-1)}),
        ("tasks/welcome.kickoff/reassign", {"to": AUTHOR}),
        ("tasks/welcome.kickoff/done", {}),
        ("tasks/welcome.kickoff/reopen", {}),
        ("move", {"to": "active", "until": instant(days=-2)}),
        ("release", {}),
    ]
    for path, body in posts:
        fields = by.keys() & FIELDS.get(path.rsplit("/", 1)[-1], {"author", "reason"})
        good(path, workspace.api("POST", f"{customer}/{path}", {**body, **{key: by[key] for key in fields}}))
    good("unwaive", workspace.api("DELETE", f"{customer}/findings/owner_known/waive", {"author": AUTHOR}))


# Fields beside the own ones of a decision.
FIELDS = {"ack": {"author"}, "check": {"author", "note"}, "snooze": {"author", "note"}, "reassign": {"author", "note"}, "done": {"author", "note"}, "reopen": {"author", "note"}}


def alerts(workspace: Workspace, good: Any) -> None:
    """A finding that is told in a group, after its wait; silenced and acknowledged by a person."""
    good("a survey that nobody answered", workspace.send([
        {"type": "track", "userId": "acme-ada", "event": "survey", "messageId": "survey", "timestamp": instant(days=9)},
    ]))
    workspace.run("Comply", "comply-by-hand", "all", instant(seconds=-60))
    groups = until("the alert is in a group", lambda: workspace.api("GET", "/api/alerts").body["items"])
    urgent = workspace.outputs["UrgentTopicArn"]
    until("the group is told", lambda: [message for message in workspace.heard() if message["topic"] == urgent])
    good("acknowledged", workspace.api("POST", f"/api/alerts/{groups[0]['id']}/ack", {"author": AUTHOR}))
    silence = {"author": AUTHOR, "reason": "a test", "ends_at": instant(hours=-1), "matchers": [{"label": "customer", "values": ["acme"]}]}
    made = good("silenced", workspace.api("POST", "/api/silences", silence))
    good("no more", workspace.api("DELETE", f"/api/silences/{made['id']}", {"author": AUTHOR}))


def shoppers(workspace: Workspace, good: Any) -> None:
    """Enough accounts with a rhythm that it can be learnt; half of them are gone."""
    for number in range(40):
        days = range(1 + 60 * (number % 2), 120, 3 + number % 5)
        logins = [{"type": "track", "userId": f"u{number}", "event": "login", "messageId": f"u{number}-{day}", "timestamp": instant(days=day)} for day in days]
        joins = {"type": "group", "userId": f"u{number}", "groupId": f"shop{number}", "messageId": f"u{number}", "traits": {"plan": "team"}, "timestamp": instant(days=121)}
        good(f"account {number}", workspace.send([joins, *logins]))


def sweeps(workspace: Workspace, good: Any) -> None:
    """In the days to come: what is learnt, what is overdue; and what came late past all that."""
    for days in (1, 5, 40):
        workspace.run("Score", "score-learn", "learn", instant(days=-days))
        for function in ("Evaluate", "Score", "Comply"):
            workspace.run(function, f"{function.lower()}-by-hand", "all", instant(days=-days))
        workspace.run("Evaluate", "evaluate-due", "due", instant(days=-days))
    for day, function in ((1, "Evaluate"), (2, "Score"), (3, "Comply")):
        late = {"type": "track", "userId": "acme-ada", "event": "login", "messageId": f"late-{day}", "timestamp": instant(days=day)}
        good("an event that comes late", workspace.send([late]))
        workspace.run(function, f"{function.lower()}-by-hand", "all", instant(days=-41))
        until("it was looked at", lambda: waiting(workspace, f"{function}Tickets") == 0)
    until("no ticket is left", lambda: all(waiting(workspace, name) == 0 for name in ("EvaluateTickets", "ScoreTickets", "ComplyTickets")))


def waiting(workspace: Workspace, queue: str) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    told = workspace.sqs.get_queue_attributes(QueueUrl=workspace.resources[queue], AttributeNames=names)["Attributes"]
    return sum(int(count) for count in told.values())


def reads(workspace: Workspace, good: Any) -> None:
    """Every page of the API that only reads."""
    document = json.loads((ROOT / "functions/console/openapi.json").read_text())
    for path, methods in document["paths"].items():
        if "get" in methods and "/{id}" not in path.removeprefix("/api/customers/{id}"):
            good(f"GET {path}", workspace.api("GET", path.replace("{id}", "acme")))
    good("by stage", workspace.api("GET", "/api/customers?stage=onboarding"))
    good("export", workspace.api("GET", "/api/privacy/export/acme"))


def privacy(workspace: Workspace, good: Any) -> None:
    asked = [
        {"type": "DELETE_ONLY", "subject": "user", "ids": ["acme-ada"]},
        {"type": "SUPPRESS_WITH_DELETE", "subject": "account", "ids": ["globex"]},
        {"type": "SUPPRESS_ONLY", "subject": "user", "ids": ["nobody"]},
        {"type": "UNSUPPRESS", "subject": "user", "ids": ["nobody"]},
    ]
    for request in asked:
        id = good(request["type"], workspace.api("POST", "/api/privacy/requests", request))["id"]
        until(f"{request['type']} is done", lambda: workspace.api("GET", f"/api/privacy/requests/{id}").body["state"] == "FINISHED")
    workspace.send([{"type": "track", "userId": "globex", "event": "login", "messageId": "suppressed"}])
