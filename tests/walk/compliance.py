"""Standards, alerts and evidence at `lifecycle dev`, day by day: `compliance.py path/to/lifecycle`.

One account breaches a standard of each kind and mends each; people are told, escalated to, kept quiet
by a silence and by inhibition, and told in a digest; somebody acknowledges by a button in Slack, signed
as Slack signs; at the end the audit pack verifies, and does not after one byte was changed. The clock
stands still between the steps. Needs no network.
"""

import hashlib
import hmac
import json
import pathlib
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from datetime import datetime, timedelta, timezone
from typing import Any

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "clients"))

from dev import TIMEOUT_SECONDS, WRITE_KEY, Checks, everything, get, running  # noqa: E402

LIFECYCLE = pathlib.Path(__file__).with_name("company.yaml")
# A Monday.
START = datetime(2026, 1, 5, 9, tzinfo=timezone.utc)
SLACK_SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
STANDARDS = ["kickoff", "invoiced", "contact", "known", "answered", "stuck", "acted", "in_order", "visited"]


class Company:
    """What is sent to it, when, and what it told."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.sent = 0

    def post(self, path: str, body: Any) -> Any:
        """Posts JSON; answers what came back."""
        return self.answer(path, json.dumps(body).encode(), {"content-type": "application/json"})[1]

    def answer(self, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, Any]:
        request = urllib.request.Request(self.url + path, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
                return response.status, json.loads(response.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")

    def at(self, days: float) -> None:
        """It is now so many days after the start."""
        self.now = START + timedelta(days=days)
        self.post("/dev/clock", {"now": stamp(self.now)})

    def happens(self, account: str, *events: str, **traits: str) -> None:
        """Events of an account, now; with traits, also a `group` call."""
        calls = [{"type": "track", "event": event} for event in events]
        if traits:
            calls.append({"type": "group", "groupId": account, "traits": traits})
        for call in calls:
            self.sent += 1
            call |= {"userId": f"ada@{account}", "messageId": f"event-{self.sent}", "timestamp": stamp(self.now), "context": {"groupId": account}}
        answer = self.post("/v1/batch", {"batch": calls, "writeKey": WRITE_KEY})
        assert answer["accepted"] == len(calls), answer

    def judged(self) -> None:
        """The schedules run, and who has to be told is told."""
        for function in ("evaluate", "comply", "notify"):
            self.post(f"/dev/run/{function}", {})

    def minute(self) -> None:
        """The tick of notify."""
        self.post("/dev/run/notify", {})

    def stands(self, account: str) -> dict[str, str]:
        """The state of each finding there was, by the journal."""
        entries = everything(self.url, f"/api/customers/{account}/journal")
        found = [entry for entry in reversed(entries) if entry["kind"] == "finding"]
        return {entry["rule"].removeprefix("standards."): entry["to"] for entry in found}

    def told(self, topic: str) -> list[str]:
        """The texts of a topic, the oldest first."""
        messages = get(self.url, "/dev/sns")
        return [json.dumps(message) for message in messages if message["topic"] == topic]

    def posted(self) -> list[Any]:
        """What Slack would have got."""
        return [post["body"] if isinstance(post["body"], dict) else json.loads(post["body"]) for post in get(self.url, "/dev/outbox")]

    def click(self, message: Any, label: str) -> tuple[int, Any]:
        """Presses a button of a message, as Slack says it."""
        buttons = [element for block in message["blocks"] for element in block.get("elements", []) if element.get("type") == "button"]
        value = next(button["value"] for button in buttons if button["text"]["text"].startswith(label))
        payload = {
            "type": "block_actions",
            "trigger_id": "1.2.3",
            "user": {"id": "U024BE7LH"},
            "message": message,
            "actions": [{"action_id": "x", "type": "button", "value": value}],
        }
        body = urllib.parse.urlencode({"payload": json.dumps(payload)})
        return self.answer("/v1/slack/actions", body.encode(), self.signature(body, SLACK_SECRET))

    def signature(self, body: str, secret: str) -> dict[str, str]:
        signed_at = int(self.now.timestamp())
        code = hmac.new(secret.encode(), f"v0:{signed_at}:{body}".encode(), hashlib.sha256)
        return {
            "content-type": "application/x-www-form-urlencoded",
            "x-slack-request-timestamp": str(signed_at),
            "x-slack-signature": f"v0={code.hexdigest()}",
        }


def stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__.splitlines()[0], file=sys.stderr)
        return 2
    program = str(pathlib.Path(sys.argv[1]).resolve())
    checks = Checks()
    with tempfile.TemporaryDirectory() as folder:
        options = ["--clock", "manual", "--data", "data", "--config", str(LIFECYCLE)]
        with running(program, folder, options) as url:
            command(program, folder, ["secrets", "add", "slack_signing", "--secret-stdin"], SLACK_SECRET)
            company = Company(url)
            breaches(company, checks)
            mends(company, checks)
            holds(company, checks)
            evidence(program, folder, checks)
    return checks.finish()


def breaches(company: Company, checks: Checks) -> None:
    company.at(0)
    company.happens("acme", "visit", "signed", "ask", name="Acme")
    company.judged()
    checks.equal("what is required is missing at once", company.stands("acme"), {"known": "open"})
    checks.equal("a digest waits for its hour", company.told("digest"), [])
    company.at(1.01)
    company.happens("acme", "training")
    company.judged()
    checks.equal("a step was left out, a question not answered", company.stands("acme"), {"known": "open", "answered": "open", "in_order": "open"})
    checks.equal("who looks after it is told", len(company.told("urgent")), 1)
    checks.equal("the digest came in the morning", [("known" in text) for text in company.told("digest")], [True])
    checks.equal("nobody above is told yet", company.told("lead"), [])
    # The same message again is due as well; a group says one thing a minute.
    for minutes in (246, 247):
        company.at(1.01 + minutes / 1440)
        company.minute()
    checks.equal("after four hours, the lead is", [("answered" in text) for text in company.told("lead")], [True])
    company.at(2.5)
    company.judged()
    company.at(3.5)
    company.judged()
    checks.equal("a deadline after a stage", company.stands("acme")["kickoff"], "open")
    company.at(5.5)
    company.judged()
    open_now = [name for name in STANDARDS if name != "visited"]
    checks.equal("all but one are open", sorted(company.stands("acme")), sorted(open_now))
    company.at(33)
    company.judged()
    company.at(35.5)
    company.judged()
    checks.equal("each is open", company.stands("acme"), dict.fromkeys(STANDARDS, "open"))
    listed = {item["standard"] for item in everything(company.url, "/api/findings") if item["customer"] == "acme"}
    checks.equal("the list has each", sorted(listed), sorted(STANDARDS))


def mends(company: Company, checks: Checks) -> None:
    # The message of the kickoff is a month old by now; its buttons hold for a week.
    message = company.posted()[0]
    status, _ = company.click(message, "Seen: useful")
    checks.equal("an old button is refused", status, 401)
    company.happens("bravo", "visit", name="Bravo", csm="kim@example.com")
    company.judged()
    company.at(39)
    company.happens("acme", "visit")
    company.judged()
    message = company.posted()[-1]
    checks.equal("the second account is told in chat", "Bravo" in json.dumps(message), True)
    body = "payload=%7B%7D"
    status, _ = company.answer("/v1/slack/actions", body.encode(), company.signature(body, "another secret"))
    checks.equal("who does not know the secret is refused", status, 401)
    status, reply = company.click(message, "Ack")
    checks.equal("a signed click is taken", (status, "<@U024BE7LH>" in json.dumps(reply)), (200, True))
    groups = everything(company.url, "/api/alerts")
    acknowledged = [group["acknowledged"]["author"] for group in groups if group.get("acknowledged")]
    checks.equal("the group says by whom", acknowledged, ["slack:U024BE7LH"])
    company.happens("acme", "invoice", "reply", "kickoff", "call", "visit", "visit", csm="kim@example.com")
    for task in everything(company.url, "/api/tasks"):
        company.post(f"/api/customers/{task['customer']}/tasks/{task['id']}/done", {"author": "kim@example.com"})
    company.at(39.1)
    company.judged()
    checks.equal("each is mended", company.stands("acme"), dict.fromkeys(STANDARDS, "closed"))
    checks.equal("nothing of it is listed", [item for item in everything(company.url, "/api/findings") if item["customer"] == "acme"], [])
    company.at(39.2)
    company.minute()
    checks.equal("that it is over is told", "resolved" in company.told("urgent")[-1].lower(), True)


def holds(company: Company, checks: Checks) -> None:
    """A silence and inhibition keep a message back, each for its reason."""
    silence = {"matchers": [{"label": "standard", "values": ["answered"]}], "author": "kim@example.com", "reason": "the team is away", "ends_at": stamp(company.now + timedelta(days=3))}
    made = company.post("/api/silences", silence)
    checks.equal("a silence is made", "id" in made, True)
    before = len(company.told("urgent"))
    company.happens("acme", "ask")
    company.at(40.5)
    company.judged()
    checks.equal("the breach is there", company.stands("acme")["answered"], "open")
    checks.equal("and silent", len(company.told("urgent")), before)
    company.at(42.5)
    company.minute()
    checks.equal("when the silence ends, it is told", len(company.told("urgent")), before + 1)

    company.happens("charly", "visit", "ask", name="Charly", csm="kim@example.com")
    company.judged()
    company.happens("charly", "cancel")
    company.judged()
    company.at(44)
    company.judged()
    checks.equal("who left breaches too", company.stands("charly").get("answered"), "open")
    heard = [text for text in company.told("urgent") if "Charly" in text]
    checks.equal("but nobody is told of it", heard, [])
    company.at(60)


def evidence(program: str, folder: str, checks: Checks) -> None:
    verified = command(program, folder, ["audit", "verify"])
    checks.equal("every journal verifies", verified.returncode, 0)
    made = command(program, folder, ["audit", "report", "--from", stamp(START), "--out", "pack", "--json"])
    checks.equal("a pack is made", made.returncode, 0)
    told = json.loads(made.stdout)
    verify = ["audit", "verify", "--pack", "pack", "--seal", told["seal"]]
    checks.equal("it has the breaches", told["breaches"] >= len(STANDARDS), True)
    checks.equal("the pack verifies", command(program, folder, verify).returncode, 0)
    pack = pathlib.Path(folder, "pack")
    for file in sorted(path for path in pack.rglob("*") if path.is_file()):
        whole = file.read_bytes()
        place = len(whole) // 2
        byte = whole[place] ^ 1 if whole else 0
        file.write_bytes(whole[:place] + bytes([byte]) + whole[place + 1 :])
        changed = command(program, folder, verify)
        checks.equal(f"one byte of {file.name} changed", changed.returncode, 1)
        file.write_bytes(whole)
    checks.equal("and back, it verifies again", command(program, folder, verify).returncode, 0)


def command(program: str, folder: str, arguments: list[str], given: str = "") -> subprocess.CompletedProcess[str]:
    if arguments[:3:2] != ["audit", "--pack"]:
        arguments = [*arguments, "--data", "data"]
    return subprocess.run([program, *arguments], cwd=folder, input=given, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
