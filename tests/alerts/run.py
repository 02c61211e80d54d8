"""The alert decision beside a real Alertmanager: the same timelines, the same messages.

    python3 tests/alerts/run.py PROGRAM [--seed N] [--count N]

PROGRAM is `alert_timelines` of tests/examples: the decision under virtual time. Alertmanager runs on the
clock: all timelines at once in one process on 127.0.0.1, told apart by the label `timeline`, with a
webhook receiver here. What is compared of each receiver and group is the sequence of messages: when,
which alerts fire, which have ended.

One second of Alertmanager is a minute of ours (what is looked at every five minutes would else never be).
Whatever happens does so at a whole second, and every turn of a group is at a half one: group_wait and
repeat_interval end in .5, group_interval is whole, so that nothing is ever nearer than half a second to a
turn. Messages may differ by less than that. Where this machine is later than a quarter of a second with
what it sends, the run says nothing, and is made again.

Where the two differ on purpose a timeline says so, and both are compared with what is written there
(`differences`). Random timelines with such a place in them are left out, and those in which a group
begins anew before Alertmanager, which looks every 30 seconds, has let go of the one before.

Exit codes: 0 the same, 1 not the same or it could not be run, 2 wrong use.
"""

import argparse
import collections
import http.server
import json
import pathlib
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from datetime import datetime, timezone
from typing import Any

PATHS = ("prometheus-alertmanager", "alertmanager")
# Virtual seconds in a real one.
SCALE = 60
# How long a timeline is, in real seconds.
LENGTH = 46
TOLERANCE = 0.45
# How late this machine may be with what it sends.
LATE = 0.25
TRIES = 3
# Alertmanager lets go of groups that are over once in so many seconds.
SWEEP = 32

TEAMS, REGIONS, SEVERITIES = ("north", "south"), ("eu", "us"), ("low", "medium", "high", "critical")
STANDARDS = ("first", "second")
GROUPINGS = (["team"], ["team", "region"], ["standard"], ["severity"], ["customer"], [])

Timeline = dict[str, Any]


def timeline(rng: random.Random) -> Timeline:
    """Routes, what inhibits, and what happens, all at random."""
    routes = [route(rng, matchers) for matchers in rng.choice(ROUTES)]
    inhibit = [rng.choice(INHIBIT)] if rng.random() < 0.5 else []
    events: list[Timeline] = []
    for number in range(rng.randint(4, 9)):
        labels = {
            "team": rng.choice(TEAMS), "region": rng.choice(REGIONS), "severity": rng.choice(SEVERITIES),
            "standard": rng.choice(STANDARDS),
        }
        at = rng.choice((1, 1, 2, 3, 5, 8, 13, 20, 27))
        while at < LENGTH - 8:
            events.append({"at": at, "fire": f"a{number}", "labels": labels})
            at += rng.choice((9, 11, 14, 19, 60))
            if at < LENGTH - 8:
                events.append({"at": at, "end": f"a{number}"})
            at += rng.choice((1, 2, 9, 60))
    for number in range(rng.choice((0, 1, 1, 2))):
        at, lasts = rng.randint(0, 25), rng.randint(4, 20)
        events.append({"at": at, "silence": f"s{number}", "matchers": rng.choice(SILENCES), "ends": at + lasts})
        if rng.random() < 0.3:
            events.append({"at": at + rng.randint(2, lasts - 1), "unsilence": f"s{number}"})
    return {"routes": routes, "inhibit": inhibit, "events": sorted(events, key=lambda event: event["at"])}


ROUTES = (
    [{}],
    [{"team": ["north"]}, {}],
    [{"severity": ["high", "critical"]}, {"team": ["north"]}],
    [{"standard": ["first"], "severity": ["low", "medium"]}, {"region": ["eu"]}, {}],
)
INHIBIT = (
    {"when": {"severity": ["critical"]}, "mute": {"severity": ["low", "medium"]}, "equal": ["region"]},
    {"when": {"severity": ["high", "critical"]}, "mute": {"severity": ["medium", "high"]}, "equal": ["team"]},
    {"when": {"standard": ["first"]}, "mute": {"standard": ["second"]}, "equal": ["team", "region"]},
    {"when": {"severity": ["critical"]}, "mute": {"severity": ["low"]}, "equal": []},
)
SILENCES = (
    ["team=north"], ["team!=north"], ["severity=low,medium"], ["customer=a0,a1"], ["customer!=a2", "team=south"],
    ["standard=first", "region=eu"], ["severity!=critical,high"],
)


def route(rng: random.Random, matchers: dict[str, list[str]]) -> Timeline:
    interval = rng.choice((3, 4, 5))
    return {
        "match": matchers, "group_by": rng.choice(GROUPINGS), "wait": rng.choice((0.5, 1.5, 2.5)),
        "interval": interval, "repeat": rng.choice((2, 3)) * interval + rng.choice((0.5, 1.5)),
    }


def differences() -> list[Timeline]:
    """What is meant to differ: the messages of ours and of Alertmanager's, as (second, firing, ended)."""
    plain = {"match": {}, "group_by": [], "wait": 0.5, "interval": 4, "repeat": 100.5}
    labels = {"team": "north", "region": "eu", "severity": "low", "standard": "first"}
    urgent = {**labels, "severity": "critical"}

    def of(events: list[Timeline], ours: list[Any], theirs: list[Any], inhibit: list[Timeline] | None = None) -> Timeline:
        return {"routes": [plain], "inhibit": inhibit or [], "events": events, "ours": ours, "theirs": theirs}

    def fire(at: int, alert: str, of: Timeline = labels) -> Timeline:
        return {"at": at, "fire": alert, "labels": of}

    def end(at: int, alert: str) -> Timeline:
        return {"at": at, "end": alert}

    silence = {"at": 2, "silence": "s", "matchers": ["customer=a0"], "ends": 12}
    return [
        # That something ended of which nobody heard is told by Alertmanager, where others of the group go on.
        of([fire(1, "a0"), fire(2, "a1"), end(4, "a1")],
           [(1.5, "a0", "")], [(1.5, "a0", ""), (5.5, "a0", "a1")]),
        # What ends while it is silenced: whoever heard that it began hears of the end when the silence is over.
        of([fire(1, "a0"), silence, end(8, "a0")],
           [(1.5, "a0", ""), (13.5, "", "a0")], [(1.5, "a0", "")]),
        # What ends while something else inhibits it: whoever heard that it began hears that it ended.
        of([fire(1, "a0"), fire(2, "a1", urgent), end(3, "a0")],
           [(1.5, "a0", ""), (5.5, "a1", "a0")], [(1.5, "a0", ""), (5.5, "a1", "")],
           [{"when": {"severity": ["critical"]}, "mute": {"severity": ["low"]}, "equal": []}]),
    ]


def file_of(one: Timeline) -> str:
    """The timeline's lifecycle file."""
    def period(seconds: float) -> str:
        return f"{round(seconds * SCALE)}s"

    routes = [
        {"match": route["match"], "to": f"r{number}", "group_by": route["group_by"], "group_wait": period(route["wait"]),
         "group_interval": period(route["interval"]), "repeat_interval": period(route["repeat"])}
        for number, route in enumerate(one["routes"])
    ]
    standards = {name: {"required": ["traits.team"], "severity": "low", "owner": "ops"} for name in STANDARDS}
    return json.dumps({
        "version": 1,
        "traits": {"team": "text?", "region": "text?"},
        "metrics": {"logins": {"count": "login", "over": "7d"}},
        "stages": {"active": {"enter": {"when": "metrics.logins > 0", "priority": 1}}},
        "standards": standards,
        "alerts": {
            "routes": routes,
            "receivers": {f"r{number}": {"webhook": f"hook{number}"} for number in range(len(routes))},
            "inhibit": one["inhibit"],
        },
    })


def ours(program: str, timelines: list[Timeline]) -> list[Timeline]:
    """What the decision tells, in real seconds."""
    asked = []
    for one in timelines:
        events = [{**event, **{key: event[key] * SCALE for key in ("at", "ends") if key in event}} for event in one["events"]]
        for event in events:
            if "labels" in event:
                event["labels"] = {**event["labels"], "kind": "finding", "customer": event["fire"]}
        asked.append({"file": file_of(one), "until": LENGTH * SCALE, "events": events})
    done = subprocess.run([program], input=json.dumps(asked), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{program} failed: {done.stderr[-2000:]}")
    told = json.loads(done.stdout)
    for one in told:
        one["over"] = [(group, at / SCALE) for group, at in one["over"]]
        one["opened"] = [(group, at / SCALE) for group, at in one["opened"]]
        one["sent"] = [{**sent, "at": sent["at"] / SCALE} for sent in one["sent"]]
    return told


def is_comparable(told: Timeline) -> bool:
    if told["untold"] or told["muted"]:
        return False
    return not any(
        group == other and over <= opened < over + SWEEP for group, over in told["over"] for other, opened in told["opened"]
    )


def configuration(timelines: list[Timeline], url: str) -> Timeline:
    """Alertmanager's, for all timelines; JSON is YAML."""
    def matcher(label: str, values: list[str]) -> str:
        return f'{label}=~"{"|".join(values)}"'

    routes, inhibit, receivers = [], [], [{"name": "nobody"}]
    for number, one in enumerate(timelines):
        of_this = f'timeline="{number}"'
        routes.append({
            "matchers": [of_this], "receiver": "nobody",
            "routes": [
                {"matchers": [matcher(*one) for one in route["match"].items()], "receiver": f"{number}-r{index}",
                 "group_by": route["group_by"], "group_wait": f"{round(route['wait'] * 1000)}ms",
                 "group_interval": f"{route['interval']}s", "repeat_interval": f"{round(route['repeat'] * 1000)}ms"}
                for index, route in enumerate(one["routes"])
            ],
        })
        receivers += [
            {"name": f"{number}-r{index}", "webhook_configs": [{"url": url, "send_resolved": True}]}
            for index in range(len(one["routes"]))
        ]
        inhibit += [
            {"source_matchers": [of_this, *(matcher(*one) for one in rule["when"].items())],
             "target_matchers": [of_this, *(matcher(*one) for one in rule["mute"].items())],
             "equal": [*rule["equal"], "timeline"]}
            for rule in one["inhibit"]
        ]
    return {
        "global": {"resolve_timeout": "1h"},
        "route": {"receiver": "nobody", "routes": routes},
        "inhibit_rules": inhibit,
        "receivers": receivers,
    }


class Webhook:
    """Takes the messages of Alertmanager, and notes when."""

    def __init__(self) -> None:
        self.came: list[tuple[float, Timeline]] = []
        webhook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                at = time.monotonic()
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                webhook.came.append((at, body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            # Many groups have their turn at the same instant.
            request_queue_size = 256

        self.server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"


class Alertmanager:
    """A process of it, on a free port and a directory of its own."""

    def __init__(self, program: str, config: Timeline, directory: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        path = pathlib.Path(directory)
        (path / "config.yml").write_text(json.dumps(config))
        self.url = f"http://127.0.0.1:{port}"
        self.log = (path / "log").open("w")
        self.process = subprocess.Popen(
            [program, f"--config.file={path / 'config.yml'}", f"--storage.path={path / 'data'}",
             f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="],
            stdout=self.log, stderr=self.log,
        )
        until = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/-/ready", timeout=5).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > until:
                    self.stop()
                    sys.exit(f"Alertmanager did not start: {(path / 'log').read_text()[-2000:]}")
                time.sleep(0.05)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/api/v2/{path}", data, {"content-type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=20)
        self.log.close()


def theirs(program: str, timelines: list[Timeline]) -> tuple[list[list[Timeline]], float]:
    """What Alertmanager tells of each timeline, and how late this machine was at most."""
    webhook = Webhook()
    late = 0.0
    with tempfile.TemporaryDirectory() as directory:
        alertmanager = Alertmanager(program, configuration(timelines, webhook.url), directory)
        try:
            began, wall = time.monotonic() + 0.5, time.time() + 0.5
            began_at: dict[tuple[int, str], tuple[Timeline, float]] = {}
            silences: dict[tuple[int, str], str] = {}
            moments: dict[float, list[tuple[int, Timeline]]] = collections.defaultdict(list)
            for number, one in enumerate(timelines):
                for event in one["events"]:
                    moments[event["at"]].append((number, event))
            for at in sorted(moments):
                time.sleep(max(0.0, began + at - time.monotonic()))
                alerts = []
                for number, event in moments[at]:
                    if "fire" in event:
                        labels = {**event["labels"], "alertname": "finding", "customer": event["fire"], "timeline": str(number)}
                        began_at[number, event["fire"]] = (labels, wall + at)
                        alerts.append({"labels": labels, "startsAt": stamp(wall + at)})
                    elif "end" in event:
                        labels, since = began_at[number, event["end"]]
                        alerts.append({"labels": labels, "startsAt": stamp(since), "endsAt": stamp(wall + at)})
                    elif "silence" in event:
                        matchers = [silence_matcher(text) for text in event["matchers"]]
                        matchers.append({"name": "timeline", "value": str(number), "isRegex": False, "isEqual": True})
                        made = alertmanager.call("POST", "silences", {
                            "matchers": matchers, "startsAt": stamp(wall + at), "endsAt": stamp(wall + event["ends"]),
                            "createdBy": "kim", "comment": "away",
                        })
                        silences[number, event["silence"]] = made["silenceID"]
                    else:
                        alertmanager.call("DELETE", f"silence/{silences[number, event['unsilence']]}")
                if alerts:
                    alertmanager.call("POST", "alerts", alerts)
                late = max(late, time.monotonic() - began - at)
            time.sleep(max(0.0, began + LENGTH - time.monotonic()))
        finally:
            alertmanager.stop()
    webhook.server.shutdown()
    told: list[list[Timeline]] = [[] for _ in timelines]
    for at, body in webhook.came:
        number, receiver = body["receiver"].split("-")
        listed = {status: [one["labels"]["customer"] for one in body["alerts"] if one["status"] == status] for status in ("firing", "resolved")}
        told[int(number)].append({"at": at - began, "to": receiver, "group": body["groupLabels"], **listed})
    return told, late


def stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat()


def silence_matcher(text: str) -> Timeline:
    label, values = text.split("=")
    return {"name": label.rstrip("!"), "value": values.replace(",", "|"), "isRegex": True, "isEqual": not label.endswith("!")}


def sequences(sent: list[Timeline]) -> dict[str, list[tuple[float, tuple[str, ...], tuple[str, ...]]]]:
    """By receiver and group: when, which fire, which have ended."""
    found = collections.defaultdict(list)
    for one in sorted(sent, key=lambda one: one["at"]):
        group = {label: value for label, value in sorted(one["group"].items()) if value}
        if one["at"] < LENGTH - 1:
            found[f"{one['to']} {json.dumps(group)}"].append((one["at"], tuple(sorted(one["firing"])), tuple(sorted(one["resolved"]))))
    return found


def differs(mine: list[Timeline], other: list[Timeline]) -> list[str]:
    mine, other = sequences(mine), sequences(other)
    wrong = []
    for name in sorted(mine.keys() | other.keys()):
        one, two = mine.get(name, []), other.get(name, [])
        is_same = len(one) == len(two) and all(
            abs(a[0] - b[0]) <= TOLERANCE and a[1:] == b[1:] for a, b in zip(one, two, strict=True)
        )
        if not is_same:
            wrong.append(f"{name}\n    ours   {show(one)}\n    theirs {show(two)}")
    return wrong


def show(sequence: list[Any]) -> str:
    return "; ".join(f"{at:.2f} firing {' '.join(firing) or '-'} ended {' '.join(ended) or '-'}" for at, firing, ended in sequence) or "nothing"


def written(sequence: list[tuple[float, str, str]]) -> list[Timeline]:
    return [{"at": at, "to": "r0", "group": {}, "firing": firing.split(), "resolved": ended.split()} for at, firing, ended in sequence]


def main() -> int:
    parser = argparse.ArgumentParser(description="Compares the alert decision with a real Alertmanager.")
    parser.add_argument("program", help="the built example alert_timelines")
    parser.add_argument("--seed", type=int, default=1, help="another number is other timelines")
    parser.add_argument("--count", type=int, default=40, help="how many timelines")
    given = parser.parse_args()
    alertmanager = next((found for found in map(shutil.which, PATHS) if found), None)
    if alertmanager is None:
        print("there is no Alertmanager here: install the package prometheus-alertmanager", file=sys.stderr)
        return 1
    known = differences()
    rng = random.Random(given.seed)
    chosen: list[tuple[Timeline, Timeline]] = []
    made = 0
    while len(chosen) < given.count:
        some = [timeline(rng) for _ in range(4 * given.count)]
        made += len(some)
        if made > 400 * given.count:
            sys.exit("too few timelines can be compared")
        pairs = zip(some, ours(given.program, some), strict=True)
        chosen += [(one, told) for one, told in pairs if is_comparable(told) and told["sent"]]
    chosen = chosen[:given.count]
    for _ in range(TRIES):
        told, late = theirs(alertmanager, [one for one, _ in chosen] + known)
        if late <= LATE:
            break
        print(f"this machine was {late:.2f} s late: once more")
    else:
        print("this machine is too busy for a comparison by the clock", file=sys.stderr)
        return 1
    wrong = 0
    for number, ((one, mine), other) in enumerate(zip(chosen, told, strict=False)):
        for text in differs(mine["sent"], other):
            wrong += 1
            print(f"timeline {number} of seed {given.seed}: {text}")
            print(f"    {json.dumps(one)}")
    mine = ours(given.program, known)
    for number, one in enumerate(known):
        for whose, sent, want in (("ours", mine[number]["sent"], one["ours"]), ("Alertmanager", told[len(chosen) + number], one["theirs"])):
            for text in differs(sent, written(want)):
                wrong += 1
                print(f"known difference {number}, {whose}: {text}")
    messages = sum(len(mine["sent"]) for _, mine in chosen)
    print(f"{len(chosen)} timelines of {made} made (seed {given.seed}), {messages} messages: {wrong} differ; {len(known)} known differences; {late * 1000:.0f} ms late at most")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
