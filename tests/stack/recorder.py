"""Stands between the functions and AWS, and writes down every call: who asked for what, of what.

It passes requests on as they came, signed for the same host, and answers on as they are, but for
two. It tells of the table of customers that it is large, as AWS would where it is, so that a sweep is
split among tickets. And the first transaction of each function is overtaken by another writer, so
that it has to look again.
"""

import http.client
import json
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Iterator, NamedTuple

MANY = 60_000
# Each item of a transaction needs the permission of the write that it is.
TRANSACTION = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem", "ConditionCheck": "ConditionCheckItem", "Get": "GetItem"}
HOP_BY_HOP = {"connection", "transfer-encoding", "content-length"}


class Call(NamedTuple):
    """One permission that a request needed."""

    access_key: str
    action: str
    """As in a policy: dynamodb:PutItem."""
    resource: str
    """The table's name, or `name/index/index`; the URL of a queue; the ARN of a topic; `s3://bucket/object`."""


class Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A function that ended, or gave up waiting, takes its answer no more."""


class Recorder:
    """A proxy on a port of its own. Dropped with the process."""

    def __init__(self, upstream: str):
        self.calls: set[Call] = set()
        self.refused: set[tuple[str, str]] = set()
        self.overtaken: set[str] = set()
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Headers and body are two writes; the second must not wait for an acknowledgement.
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                self.answer()

            def do_PUT(self) -> None:
                self.answer()

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                status, headers, answer = recorder.forward(self.command, self.path, dict(self.headers), body, upstream)
                self.send_response_only(status)
                for name, value in headers:
                    if name.lower() not in HOP_BY_HOP:
                        self.send_header(name, value)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                """Says nothing."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def forward(self, method: str, path: str, headers: dict[str, str], body: bytes, upstream: str) -> tuple[int, list[tuple[str, str]], bytes]:
        needed = list(permissions(path, headers, body))
        self.calls.update(needed)
        if any(name.lower() == "x-amz-target" and target.endswith(".TransactWriteItems") for name, target in headers.items()) and needed[0].access_key not in self.overtaken:
            self.overtaken.add(needed[0].access_key)
            return 400, [("content-type", "application/x-amz-json-1.0")], cancelled(len(needed))
        connection = http.client.HTTPConnection(upstream.removeprefix("http://"), timeout=60)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            answer = response.read()
            if response.status >= 400 and b"AccessDenied" in answer:
                self.refused.update((call.access_key, call.action) for call in needed)
            if any(call.action == "dynamodb:DescribeTable" for call in needed):
                answer = enlarged(answer)
            return response.status, response.getheaders(), answer
        finally:
            connection.close()


def cancelled(writes: int) -> bytes:
    """What DynamoDB answers when the first condition of a transaction does not hold."""
    reasons = [{"Code": "ConditionalCheckFailed" if number == 0 else "None"} for number in range(writes)]
    kind = "com.amazonaws.dynamodb.v20120810#TransactionCanceledException"
    return json.dumps({"__type": kind, "message": "overtaken", "CancellationReasons": reasons}).encode()


def enlarged(answer: bytes) -> bytes:
    told = json.loads(answer)
    if "Table" in told:
        told["Table"]["ItemCount"] = MANY
    return json.dumps(told).encode()


def permissions(path: str, headers: dict[str, str], body: bytes) -> Iterator[Call]:
    """What IAM would ask about a request."""
    lower = {name.lower(): value for name, value in headers.items()}
    access_key = lower["authorization"].split("Credential=")[1].split("/")[0]
    service, action = lower["authorization"].split("/")[3], lower.get("x-amz-target", "").rpartition(".")[2]
    if service == "s3":
        yield Call(access_key, "s3:PutObject", f"s3://{path.removeprefix('/')}")
        return
    if service == "sns":
        form = urllib.parse.parse_qs(body.decode())
        yield Call(access_key, f"sns:{form['Action'][0]}", form["TopicArn"][0])
        return
    request = json.loads(body)
    if service == "sqs":
        yield Call(access_key, f"sqs:{action}", request["QueueUrl"])
        return
    for name, resource in dynamodb(action, request):
        yield Call(access_key, f"dynamodb:{name}", resource)


def dynamodb(action: str, request: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for item in request.get("TransactItems", []):
        for kind, write in item.items():
            yield TRANSACTION[kind], write["TableName"]
    for table in request.get("RequestItems", {}):
        yield action, table
    for statement in [request, *request.get("Statements", [])]:
        if "Statement" in statement:
            verb, *words = statement["Statement"].split()
            table = next(word for word in words if word.startswith('"')).strip('"')
            yield f"PartiQL{verb.capitalize()}", table
    if "TableName" in request:
        index = f"/index/{request['IndexName']}" if "IndexName" in request else ""
        yield action, request["TableName"] + index
