"""A local AWS as a process, and our template deployed to it. Knows nothing of what the functions do.

The emulator runs the functions' binaries as processes, behind a Runtime API of its own, with the
credentials of their roles, and refuses whatever a role's policy does not allow. It and everything
that it starts listen on 127.0.0.1, keep their files in one temporary folder and end with it.
"""

import contextlib
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from typing import Any, Iterator

import boto3
from botocore.config import Config

from recorder import Recorder

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests"))

from functions import FUNCTIONS  # noqa: E402

REGION = "eu-central-1"
ACCOUNT = "123456789012"
STACK = "lifecycle"
CODE = "code"
START_SECONDS = 60
DEPLOY_SECONDS = 180


class Emulator:
    """The running emulator: clients of its services, its log, and what the functions asked of it."""

    def __init__(self, port: int, log: pathlib.Path):
        self.url = f"http://127.0.0.1:{port}"
        self.log = log
        self.recorder = Recorder(self.url)

    def client(self, service: str) -> Any:
        """The account's own root: what an administrator would see."""
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=ACCOUNT,
            aws_secret_access_key="local",
            config=Config(retries={"max_attempts": 1}),
        )


@contextlib.contextmanager
def emulator() -> Iterator[Emulator]:
    """A fresh AWS, until the end of the block."""
    with tempfile.TemporaryDirectory(prefix="lifecycle-stack-") as folder:
        port = free_port()
        log = pathlib.Path(folder) / "emulator.log"
        aws = Emulator(port, log)
        with log.open("wb") as output:
            command = [sys.executable, pathlib.Path(__file__).with_name("launcher.py")]
            process = subprocess.Popen(command, cwd=folder, env=environment(aws, folder), stdout=output, stderr=output, start_new_session=True)
        try:
            wait_for(aws, process)
            yield aws
        finally:
            stop(process)


def environment(aws: Emulator, folder: str) -> dict[str, str]:
    """Of the emulator, and so of the functions: nothing of this machine's settings for AWS."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_") and not name.lower().endswith("_proxy")}
    calls = {f"AWS_ENDPOINT_URL_{service}": aws.recorder.url for service in ("DYNAMODB", "S3", "SNS", "SQS")}
    return {
        **kept,
        **calls,
        "AUTH": "true",
        "AWS_ENDPOINT_URL": aws.url,
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "localhost",
        "GATEWAY_PORT": aws.url.rsplit(":", 1)[1],
        "MINISTACK_REGION": REGION,
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "SERVICES": "",
        "STATE_DIR": folder,
        "TMPDIR": folder,
        "HOME": folder,
        "LOG_LEVEL": "INFO",
    }


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def wait_for(aws: Emulator, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(urllib.error.URLError, OSError):
            urllib.request.urlopen(f"{aws.url}/_ministack/health", timeout=2).close()
            return
        time.sleep(0.2)
    raise RuntimeError(f"the emulator did not start:\n{aws.log.read_text()[-4000:]}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends the emulator and, with its process group, every function that it started."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        pass
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, 9)
    process.wait()


def deploy(aws: Emulator, binaries: pathlib.Path, parameters: dict[str, str]) -> dict[str, str]:
    """Deploys template.yaml with these binaries; answers the stack's outputs."""
    upload(aws, binaries)
    template = re.sub(r"CodeUri: functions/(\w+)/", rf"CodeUri: s3://{CODE}/\1.zip", (ROOT / "template.yaml").read_text())
    # The emulator speaks no TLS, which is all that this policy asks for.
    template, found = re.subn(r"\n  RootsBucketPolicy:\n(?:    .*\n)+", "\n", template)
    assert found == 1, "the policy of the roots' bucket has another name"
    aws.client("s3").put_object(Bucket=CODE, Key="template.yaml", Body=template.encode())
    cloudformation = aws.client("cloudformation")
    cloudformation.create_stack(
        StackName=STACK,
        TemplateURL=f"{aws.url}/{CODE}/template.yaml",
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
    )
    deadline = time.monotonic() + DEPLOY_SECONDS
    while time.monotonic() < deadline:
        stack = cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
        if stack["StackStatus"] == "CREATE_COMPLETE":
            return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
        if stack["StackStatus"] != "CREATE_IN_PROGRESS":
            raise RuntimeError(f"{stack['StackStatus']}: {failures(aws)}")
        time.sleep(0.5)
    raise RuntimeError("the stack was not complete in time")


def upload(aws: Emulator, binaries: pathlib.Path) -> None:
    """Each binary as Lambda wants it: `bootstrap` in a zip."""
    s3 = aws.client("s3")
    s3.create_bucket(Bucket=CODE, CreateBucketConfiguration={"LocationConstraint": REGION})
    for name in FUNCTIONS:
        with tempfile.TemporaryFile() as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                entry = zipfile.ZipInfo("bootstrap")
                entry.external_attr = 0o755 << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, stripped(binaries / name))
            file.seek(0)
            s3.put_object(Bucket=CODE, Key=f"{name}.zip", Body=file.read())


def stripped(binary: pathlib.Path) -> bytes:
    """Without the symbols of a debug build, which are most of it; as it is, where that cannot be had."""
    if strip := shutil.which("strip"):
        with tempfile.TemporaryDirectory() as folder:
            small = pathlib.Path(folder) / binary.name
            subprocess.run([strip, "-o", small, binary], check=True)
            return small.read_bytes()
    return binary.read_bytes()


def failures(aws: Emulator) -> list[str]:
    return [line for line in aws.log.read_text().splitlines() if "Failed to provision" in line]


def resources(aws: Emulator) -> dict[str, str]:
    """Physical ids by logical ids."""
    pages = aws.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=STACK)
    return {item["LogicalResourceId"]: item["PhysicalResourceId"] for page in pages for item in page["StackResourceSummaries"]}
