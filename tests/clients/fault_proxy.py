"""A proxy on 127.0.0.1 that fails as a script says, one fault a request, and then no more.

It keeps what it saw: the message ids of each attempt, and what the server behind it answered to
those that it forwarded.
"""

import contextlib
import enum
import gzip
import http.client
import http.server
import json
import socket
import threading
from typing import Any, Iterator, Optional
from urllib.parse import urlsplit

from dev import TIMEOUT_SECONDS

# What concerns one connection and not the request.
HOP_BY_HOP = {"connection", "host", "keep-alive", "transfer-encoding"}


class Fault(enum.Enum):
    """What happens to one request."""

    # Answered with 500, and nothing is stored.
    INTERNAL_ERROR = enum.auto()
    # Answered with 429 and a second to wait, and nothing is stored.
    RATE_LIMITED = enum.auto()
    # The connection is closed, and nothing is stored.
    CUT_BEFORE = enum.auto()
    # Stored; then the connection is closed without an answer.
    CUT_AFTER = enum.auto()
    # Stored; then answered with 504, as by a gateway that did not wait.
    LATE = enum.auto()

    @property
    def is_stored(self) -> bool:
        return self in (Fault.CUT_AFTER, Fault.LATE)


class FaultProxy:
    """What a script does, and what was seen."""

    def __init__(self, upstream: str, script: list[Fault]) -> None:
        self.upstream = urlsplit(upstream).netloc
        self.script = list(script)
        self.attempts: list[list[str]] = []
        self.answers: list[dict[str, Any]] = []
        self.url = ""
        self._lock = threading.Lock()

    def next_fault(self, body: bytes) -> Optional[Fault]:
        """Notes an attempt; answers what is to happen to it."""
        text = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
        ids = [event["messageId"] for event in json.loads(text)["batch"]]
        with self._lock:
            self.attempts.append(ids)
            return self.script.pop(0) if self.script else None

    def note_answer(self, body: bytes) -> None:
        with self._lock:
            self.answers.append(json.loads(body))


@contextlib.contextmanager
def proxying(upstream: str, script: list[Fault]) -> Iterator[FaultProxy]:
    proxy = FaultProxy(upstream, script)

    class Handler(_Handler):
        pass

    Handler.proxy = proxy
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = TIMEOUT_SECONDS
    proxy: FaultProxy

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        fault = self.proxy.next_fault(body)
        if fault is Fault.CUT_BEFORE:
            return self._cut()
        if fault in (Fault.INTERNAL_ERROR, Fault.RATE_LIMITED):
            return self._refuse(500 if fault is Fault.INTERNAL_ERROR else 429)
        status, headers, answer = self._forward(body)
        self.proxy.note_answer(answer)
        if fault is Fault.CUT_AFTER:
            return self._cut()
        if fault is Fault.LATE:
            return self._refuse(504)
        self._answer(status, headers, answer)

    def _forward(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP_BY_HOP}
        upstream = http.client.HTTPConnection(self.proxy.upstream, timeout=TIMEOUT_SECONDS)
        with contextlib.closing(upstream):
            upstream.request("POST", self.path, body, headers)
            response = upstream.getresponse()
            answer = response.read()
        kept = {k: v for k, v in response.headers.items() if k.lower() not in HOP_BY_HOP}
        return response.status, kept, answer

    def _refuse(self, status: int) -> None:
        headers = {"content-type": "application/problem+json"}
        if status == 429:
            headers["retry-after"] = "1"
        problem = {"status": status, "code": "scripted", "message": "as the script says"}
        body = json.dumps(problem).encode()
        headers["content-length"] = str(len(body))
        self._answer(status, headers, body)

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _cut(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: Any) -> None:
        pass
