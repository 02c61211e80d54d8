"""From an event over HTTP to a message on SNS, with nothing in between but what is deployed."""

import json
from datetime import datetime, timedelta, timezone
from typing import Any

from recorder import MANY
from workspace import Workspace, until

# A sweep takes a ticket for so many customers of a large table.
SEGMENTS = MANY // 20_000


def nightly(minutes: int) -> str:
    """A cron of this day, some minutes from now, in the workspace's zone: UTC."""
    at = datetime.now(timezone.utc) + timedelta(minutes=minutes)
    return f"cron({at.minute} {at.hour} * * ? *)"


def account(key: str, **traits: Any) -> dict[str, Any]:
    return {"type": "group", "userId": f"{key}-ada", "groupId": key, "messageId": f"{key}-1", "traits": {"name": key.title(), "plan": "team", **traits}}


def login(key: str, number: int = 2) -> dict[str, Any]:
    return {"type": "track", "userId": f"{key}-ada", "event": "login", "messageId": f"{key}-{number}"}


def check(workspace: Workspace, expect: Any) -> None:
    """Sends by each way in, and waits for what the schedules make of it."""
    first = workspace.send([account("acme"), login("acme")])
    expect("an event over HTTP is taken", (first.status, first.body["accepted"]), (200, 2))
    again = workspace.send([account("acme"), login("acme")])
    expect("sent again, it is a duplicate", (again.status, again.body["duplicates"]), (200, 2))
    refused = workspace.request("POST", "/v1/batch", {"batch": [login("acme")]}, {"authorization": "Basic bm9uZTo="})
    expect("a wrong write key is refused", refused.status, 401)
    workspace.sqs.send_message(QueueUrl=workspace.outputs["IngestQueueUrl"], MessageBody=json.dumps({"batch": [account("queued")]}))
    entry = {"Source": "lifecycle.crm", "DetailType": "group", "Detail": json.dumps(account("bus")), "EventBusName": workspace.outputs["EventBusName"]}
    put = workspace.aws.client("events").put_events(Entries=[entry])
    expect("the bus takes an event", put["FailedEntryCount"], 0)

    expect("without a signature, the API answers nothing", workspace.request("GET", "/api/customers/acme", None, {}).status, 403)
    for key in ("acme", "queued", "bus"):
        told(workspace, expect, key)
    finding = until("a finding is told", lambda: messages(workspace, "finding", "acme"))
    expect("what the nightly check found is told", finding[0].get("standard"), "owner_known")
    for name in ("score", "comply", "evaluate"):
        until(f"the nightly {name} is done", lambda: len(nightly_segments(workspace, name)) >= SEGMENTS)
        expect(f"each segment of {name}-nightly was walked, once", len(nightly_segments(workspace, name)), SEGMENTS)
    journal = workspace.api("GET", "/api/customers/acme/journal").body["items"]
    expect("the journal has the move", [entry["to"] for entry in journal if entry["kind"] == "stage"], ["onboarding"])


def told(workspace: Workspace, expect: Any, key: str) -> None:
    """The schedule decided, the journal's stream woke notify, and the topic heard of it once."""
    until(f"the stage of {key} is told", lambda: messages(workspace, "stage", key))
    heard = [(message["topic"], message["stage"]) for message in messages(workspace, "stage", key)]
    expect(f"the stage of {key} is told once", heard, [(workspace.outputs["TeamTopicArn"], "onboarding")])
    expect(f"the API shows {key} in it", workspace.api("GET", f"/api/customers/{key}").body["stage"]["name"], "onboarding")


def messages(workspace: Workspace, kind: str, key: str) -> list[dict[str, Any]]:
    """Of a kind, about an account: its name is its key, and messages begin with it."""
    return [message for message in workspace.heard() if message.get("kind") == kind and message["text"].startswith(f"{key.title()}: ")]


def nightly_segments(workspace: Workspace, function: str) -> list[str]:
    """The segments of a nightly run that were walked to their end, by the control table."""
    pages = workspace.aws.client("dynamodb").get_paginator("scan").paginate(TableName=workspace.outputs["ControlTableName"])
    done = [item for page in pages for item in page["Items"] if item.get("progress", {}).get("S") == "done"]
    return [item["sk"]["S"] for item in done if item["pk"]["S"] == f"run#{function}" and "-nightly#" in item["sk"]["S"]]
