"""A deployed stack as its users meet it: senders, operators, the team, and the `lifecycle` command."""

import base64
import http.client
import json
import os
import pathlib
import subprocess
import time
import urllib.parse
from typing import Any, Callable, NamedTuple

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from emulator import ACCOUNT, REGION, Emulator, resources

WAIT_SECONDS = 200
TOPICS = ("TeamTopicArn", "UrgentTopicArn", "MailTopicArn")
AUTHOR = "kim@example.com"
LIFECYCLE = pathlib.Path(__file__).with_name("lifecycle.yaml")


class Answer(NamedTuple):
    status: int
    body: Any


class Workspace:
    """One deployed stack with a write key, an active lifecycle file and a queue that hears every topic."""

    def __init__(self, aws: Emulator, outputs: dict[str, str], binaries: pathlib.Path):
        self.aws = aws
        self.outputs = outputs
        self.resources = resources(aws)
        self.command = binaries / "lifecycle"
        self.sqs = aws.client("sqs")
        self.messages: list[dict[str, Any]] = []
        self.inbox = self._listen()
        self.write_key = json.loads(self.lifecycle("keys", "add", "website", "--json"))["write_key"]

    def lifecycle(self, *arguments: str, stdin: str | None = None) -> str:
        """Runs the operator's command on the stack, as README says it: with the outputs as names."""
        names = {f"{table.upper()}_TABLE": self.outputs[f"{table}TableName"] for table in ("Events", "Customers", "Journal", "Control")}
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": ACCOUNT,
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_ENDPOINT_URL": self.aws.url,
            **names,
        }
        run = subprocess.run([self.command, *arguments, "--aws"], env=environment, input=stdin, capture_output=True, text=True, check=False)
        if run.returncode != 0:
            raise RuntimeError(f"lifecycle {' '.join(arguments)}: {run.stderr or run.stdout}")
        return run.stdout

    def _listen(self) -> str:
        """A queue that every topic of the stack is subscribed to, as a chat channel or a mail tool is."""
        url = self.sqs.create_queue(QueueName="heard")["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        topics = [self.outputs[topic] for topic in TOPICS]
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": topics}},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
        for topic in topics:
            self.aws.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
        return url

    def send(self, calls: list[dict[str, Any]]) -> Answer:
        """Events, as every Segment-compatible client sends them."""
        basic = base64.b64encode(f"{self.write_key}:".encode()).decode()
        return self.request("POST", "/v1/batch", {"batch": calls}, {"authorization": f"Basic {basic}"})

    def api(self, method: str, path: str, body: Any = None) -> Answer:
        """A call of somebody whom IAM allows it."""
        return self.request(method, path, body, {}, is_signed=True)

    def request(self, method: str, path: str, body: Any, headers: dict[str, str], is_signed: bool = False) -> Answer:
        """Over HTTP. The host's name leads to no address on this machine, so it is named in the header."""
        at = urllib.parse.urlsplit(self.outputs["ApiUrl"])
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"host": at.netloc, "content-type": "application/json", **headers}
        if is_signed:
            request = AWSRequest(method, f"http://{at.netloc}{path}", data=data, headers=headers)
            SigV4Auth(Credentials(ACCOUNT, "local"), "execute-api", REGION).add_auth(request)
            headers = dict(request.headers)
        connection = http.client.HTTPConnection("127.0.0.1", at.port, timeout=60)
        try:
            connection.request(method, path, data, headers)
            response = connection.getresponse()
            text = response.read().decode()
            return Answer(response.status, json.loads(text) if text.startswith(("{", "[")) else text)
        finally:
            connection.close()

    def run(self, function: str, schedule: str, sweep: str, at: str) -> dict[str, Any]:
        """What a schedule would start at an instant, started now."""
        event = {"schedule": schedule, "scheduled_time": at, "sweep": sweep}
        answer = self.aws.client("lambda").invoke(FunctionName=self.resources[f"{function}Function"], Payload=json.dumps(event))
        body = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise RuntimeError(f"{function}: {body}")
        return body

    def heard(self) -> list[dict[str, Any]]:
        """Every message so far: what its attributes say, and its text."""
        while True:
            received = self.sqs.receive_message(QueueUrl=self.inbox, MaxNumberOfMessages=10, WaitTimeSeconds=0).get("Messages", [])
            if not received:
                return self.messages
            for message in received:
                note = json.loads(message["Body"])
                attributes = {name: value["Value"] for name, value in note.get("MessageAttributes", {}).items()}
                self.messages.append({**attributes, "topic": note["TopicArn"], "text": note["Message"]})
                self.sqs.delete_message(QueueUrl=self.inbox, ReceiptHandle=message["ReceiptHandle"])


def until(what: str, probe: Callable[[], Any], seconds: float = WAIT_SECONDS) -> Any:
    """Waits until the answer is something; schedules fire once a minute."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := probe():
            return found
        time.sleep(0.5)
    raise TimeoutError(f"not within {seconds} s: {what}")
