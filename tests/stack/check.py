"""Deploys template.yaml to a local AWS and uses it: `check.py FOLDER-OF-BINARIES`. Started by `run.py`.

Exit code 0 when all of it held, 1 otherwise. Needs no network, and listens on 127.0.0.1 only.
"""

import pathlib
import signal
import sys
from typing import Any

import deployed
import path
import permissions
import usage
from emulator import deploy, emulator
from workspace import AUTHOR, LIFECYCLE, Workspace

# The nightly schedules fire so long after the deployment begins.
NIGHT_IN_MINUTES = 3


def main() -> int:
    binaries = pathlib.Path(sys.argv[1])
    outcomes: list[bool] = []

    def expect(what: str, found: Any, wanted: Any) -> None:
        outcomes.append(found == wanted)
        print(f"{'ok  ' if found == wanted else 'FAIL'} {what}" + ("" if found == wanted else f": {found!r}, expected {wanted!r}"), flush=True)

    # So that what was started is ended, however this ends.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with emulator() as aws:
        try:
            night = path.nightly(NIGHT_IN_MINUTES)
            parameters = {"Architecture": "x86_64", "DueRate": "rate(1 minute)", "RootLock": "GOVERNANCE", "RootRetentionDays": "1"}
            outputs = deploy(aws, binaries, {**parameters, "EvaluateCron": night, "ScoreCron": night, "ComplyCron": night})
            workspace = Workspace(aws, outputs, binaries)
            workspace.lifecycle("apply", str(LIFECYCLE), "--yes", "--author", AUTHOR)
            path.check(workspace, expect)
            usage.check(workspace, expect)
            deployed.check(workspace, expect)
            permissions.check(workspace, expect)
        except Exception as error:
            expect(f"{type(error).__name__}: {error}", "reached", "the end")
        if not all(outcomes):
            print(f"the emulator's log ends with:\n{aws.log.read_text()[-6000:]}")
    print(f"{sum(outcomes)} passed, {len(outcomes) - sum(outcomes)} failed")
    return 0 if all(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
