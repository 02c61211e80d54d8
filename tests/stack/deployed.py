"""The operator's own check of a deployment: `lifecycle deploy-check`, as after every deployment."""

import json
import urllib.parse
from typing import Any

from workspace import Workspace

# The callers here sign with keys and have no token; a quarter of an hour, and the week in which it is
# learnt, do not pass.
MAY_BE_SKIPPED = {"console", "comply_overview", "score_learn"}


def check(workspace: Workspace, expect: Any) -> None:
    """After the night, so that every nightly schedule has its run."""
    told = json.loads(workspace.lifecycle("deploy-check", "--url", address(workspace), "--wait", "3m", "--json"))
    missed = [each for each in told["checks"] if each["state"] != "ok" and each["name"] not in MAY_BE_SKIPPED]
    expect("the check of the deployment passes", missed, [])
    customers = workspace.api("GET", "/api/customers").body["items"]
    expect("nothing is left of it", [each["id"] for each in customers if each["id"].startswith("deploy-check")], [])


def address(workspace: Workspace) -> str:
    """The API by its path: the name of its host leads to no address on this machine."""
    api = urllib.parse.urlsplit(workspace.outputs["ApiUrl"]).netloc.split(".")[0]
    return f"{workspace.aws.url}/_aws/execute-api/{api}/$default"
