"""A program for a box: answers with what it was sent."""

import hashlib
import http.server
import json
import sys
import time
from typing import Any, Callable, List


begun: List[str] = []  # requests that are answered until nobody listens
gone: List[str] = []  # of these, what was taken back


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while True:
            size = int(self.rfile.readline(), 16)
            parts.append(self.rfile.read(size))
            self.rfile.readline()
            if size == 0:
                return b"".join(parts)

    def handle_any(self) -> None:
        body = self.body()
        path, _, query = self.path.partition("?")
        if path.startswith("/status/"):
            self.answer(
                int(path[8:]), b'{"title":"no","detail":"not today"}', Content_Type="application/json", Retry_After="7"
            )
        elif path == "/slow":
            told, _, file = query.partition("&")
            if file:
                open(file, "w").close()  # it has arrived
            time.sleep(float(told))
            self.answer(200, b"late")
        elif path.endswith("/large"):
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for _ in range(int(query)):
                self.chunk(bytes(1 << 16))
            self.wfile.write(b"0\r\n\r\n")
        elif path.endswith("/said"):
            self.send_response(200)
            self.send_header("Content-Length", query)
            self.end_headers()
            self.until_nobody_listens(lambda: self.wfile.write(bytes(1 << 10)))
        elif path == "/hang" or b"until I leave" in body:
            self.hang()
        elif path == "/begun":
            self.answer(200, str(len(begun)).encode())
        elif path == "/gone":
            self.answer(200, str(len(gone)).encode())
        elif path == "/redirect":
            self.answer(int(query or 302), b"", Location="/echo?redirected")
        elif path == "/elsewhere":
            self.answer(302, b"", Location="https://evil.example/")
        elif path == "/around":
            self.answer(302, b"", Location="/around")
        elif path == "/forged":
            self.answer(502, b'{"code":"BBX-221"}', Blindbox_Proxy_Error="BBX-221")
        elif path == "/stream":
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream; charset=latin-1")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for line in (b"one\r\n", b"tw", b"o\n", b"\xe9"):
                self.chunk(line)
            self.wfile.write(b"0\r\n\r\n")
        elif path == "/v1/audio/transcriptions":
            self.answer(200, b'{"text":"it hurts here"}', Content_Type="application/json")
        elif path == "/v1/chat/completions":
            self.chat(json.loads(body))
        else:
            said = {
                "method": self.command,
                "path": self.path,
                "headers": {k.lower(): v for k, v in self.headers.items()},
                "body": body[:1000].decode("latin-1"),
                "sha256": hashlib.sha256(body).hexdigest(),
            }
            self.answer(200, json.dumps(said).encode(), Content_Type="application/json")

    def hang(self) -> None:
        """Answers until nobody listens, and remembers that."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        begun.append(self.path)
        self.until_nobody_listens(lambda: self.chunk(b": still here\n\n"))

    def until_nobody_listens(self, write: Callable[[], object]) -> None:
        try:
            while True:
                write()
                time.sleep(0.02)
        except OSError:
            gone.append(self.path)
            self.close_connection = True

    def chat(self, asked: Any) -> None:
        text = asked["messages"][-1]["content"].upper()
        base = {"id": "1", "created": 1, "model": asked["model"]}
        if not asked.get("stream"):
            choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
            self.answer(
                200,
                json.dumps({**base, "object": "chat.completion", "choices": [choice]}).encode(),
                Content_Type="application/json",
            )
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for word in text.split():
            choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
            self.chunk(
                b"data: "
                + json.dumps({**base, "object": "chat.completion.chunk", "choices": [choice]}).encode()
                + b"\n\n"
            )
        self.chunk(b"data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = handle_any

    def log_message(self, *args: object) -> None:
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
