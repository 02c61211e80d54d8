"""Starts the emulator in this process, with what it lacks here.

EventBridge Scheduler fills in the instant that a schedule was for, where its input asks for it; the
emulator would hand on the asking. The instant is the present minute, which is what the service says
of the schedules that fire here. A PartiQL statement is allowed as the write that it is, on its table;
the emulator would ask for an action that IAM does not know. And whoever started the emulator may die: then it ends too, and with
it the functions that it started.
"""

import json
import os
import signal
import threading
import time
from typing import Any

from ministack.app import main
from ministack.core import iam_actions
from ministack.services import eventbridge

from recorder import dynamodb

SCHEDULED_TIME = "<aws.scheduler.scheduled-time>"
invoke_target = eventbridge._invoke_target
transaction_checks = iam_actions.dynamodb_transaction_checks
parent = os.getppid()


def invoke(target: dict[str, Any], event: dict[str, Any], *rest: Any) -> Any:
    """A rule of a bus fills in nothing; only what comes from the scheduler is changed."""
    if event.get("Source") == "aws.scheduler":
        instant = time.strftime("%Y-%m-%dT%H:%M:00Z", time.gmtime(event["Time"]))
        target = {**target, "Input": target.get("Input", "").replace(SCHEDULED_TIME, instant)}
    return invoke_target(target, event, *rest)


def checks(action: str, body: bytes, region: str, account: str) -> list[tuple[str, str]]:
    """What is asked of IAM for each part of a request, instead of for the request."""
    if not action.endswith("ExecuteStatement"):
        return transaction_checks(action, body, region, account)
    statements = dynamodb(action, json.loads(body))
    return [(f"dynamodb:{name}", f"arn:aws:dynamodb:{region}:{account}:table/{table}") for name, table in statements]


def end_with_parent() -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os.killpg(0, signal.SIGKILL)


eventbridge._invoke_target = invoke
iam_actions.dynamodb_transaction_checks = checks
threading.Thread(target=end_with_parent, daemon=True).start()
main()
