"""Least privilege: what each function asked of AWS, beside what its role in the template allows.

What Lambda does by itself with a function's role (logs, polling, dead letters, keys) is no call of
the function; which of it is needed follows from the template's wiring.
"""

import hashlib
import os
import sys
from typing import Any, Iterator

from emulator import ACCOUNT, FUNCTIONS, REGION, ROOT
from workspace import Workspace

# The translator asks for a region, and would look for one in files.
os.environ["AWS_DEFAULT_REGION"] = REGION
sys.path.append(str(ROOT / "tests" / "template"))
from rules import implied_permissions, statements  # noqa: E402
from stack import Stack, as_list, text_of  # noqa: E402

# Asked by Lambda's pollers of a stream's table, whatever the stream.
POLLING = "dynamodb:ListStreams"
# A task that score opened for a band of risk it also closes, days later: more than is lived through here.
# What score decides has tasks, and closing one deletes it from the list of open ones.
# A click in Slack that says what a finding of an account was worth is decided with the accounts below it.
# The page that verifies every journal is for people with tokens; the callers here sign with keys.
# Whether a sweep of evaluate comes in time to look back on what came late, the real clock decides.
NOT_LIVED_THROUGH = {
    ("evaluate", "dynamodb:GetItem", "${CustomersTable.Arn}"),
    ("evaluate", "dynamodb:Query", "${EventsTable.Arn}"),
    ("evaluate", "dynamodb:Query", "${JournalTable.Arn}"),
    ("console", "dynamodb:Scan", "${JournalTable.Arn}"),
    ("score", "dynamodb:DeleteItem", "${ControlTable.Arn}"),
    ("ingest", "dynamodb:BatchGetItem", "${CustomersTable.Arn}"),
}


def check(workspace: Workspace, expect: Any) -> None:
    """No call without a permission, no permission without a call."""
    stack = Stack((ROOT / "template.yaml").read_text())
    recorder = workspace.aws.recorder
    callers = {access_key(workspace, name): name for name in FUNCTIONS}
    strangers = {call.access_key for call in recorder.calls} - set(callers)
    expect("every call was made by a function", strangers, set())
    refused = sorted((callers.get(key, key), action) for key, action in recorder.refused)
    expect("no call was refused", refused, [])
    for name in FUNCTIONS:
        calls = {(call.action, logical(workspace, call.resource)) for call in recorder.calls if callers.get(call.access_key) == name}
        needed = calls | set(wiring(stack, f"{name.title()}Function"))
        needed |= {(action, resource) for function, action, resource in NOT_LIVED_THROUGH if function == name}
        granted = set(grants(stack, f"{name.title()}Role"))
        expect(f"{name}: no call without a permission", sorted(needed - granted), [])
        expect(f"{name}: no permission without a call", sorted(granted - needed), [])


def access_key(workspace: Workspace, name: str) -> str:
    """Which key the emulator gives to the process of a function; each has one of its own."""
    function = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{workspace.resources[f'{name.title()}Function']}"
    role = f"arn:aws:iam::{ACCOUNT}:role/{workspace.resources[f'{name.title()}Role']}"
    return f"ASIA{hashlib.sha256(f'{function}:{role}'.encode()).hexdigest()[:16].upper()}"


def logical(workspace: Workspace, resource: str) -> str:
    """A table, queue, topic or object as policies of the template name it."""
    if resource.startswith("s3://"):
        bucket, folder, _ = resource.removeprefix("s3://").split("/", 2)
        found = next((key for key, physical in workspace.resources.items() if physical == bucket), bucket)
        return "${%s.Arn}/%s/*" % (found, folder)
    name, slash, index = resource.partition("/index/") if not resource.startswith("http") else (resource, "", "")
    found = next((key for key, physical in workspace.resources.items() if physical == name), name)
    return "${%s}" % found if name.startswith("arn:") else "${%s.Arn}%s%s" % (found, slash, index)


def grants(stack: Stack, role: str) -> Iterator[tuple[str, str]]:
    for statement in statements(stack, role):
        for action in as_list(statement["Action"]):
            for resource in as_list(statement["Resource"]):
                yield action, text_of(resource)


def wiring(stack: Stack, function: str) -> Iterator[tuple[str, str]]:
    """What Lambda needs the role for. Queues that a variable names are the function's to send to."""
    role = f"{function.removesuffix('Function')}Role"
    for name, of, action, resource in implied_permissions(stack):
        is_own = action in ("sns:Publish", "s3:PutObject") or (action == "sqs:SendMessage" and name == function)
        if of == role and not is_own:
            yield action, text_of(resource)
            if action == "dynamodb:DescribeStream":
                table = text_of(resource).removesuffix(".StreamArn}") + ".Arn}"
                yield POLLING, f"{table}/stream/*"
