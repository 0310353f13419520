"""A small server with the OpenAI API, standard library only: what a box is wrapped around in a test.

It answers every chat with the last message in upper case, word by word.
"""
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/v1/models":
            return self.answer({"object": "list", "data": [{"id": "upper", "object": "model", "created": 0, "owned_by": "test"}]})
        self.send_error(404)

    def do_POST(self):
        if self.path != "/v1/chat/completions":
            return self.send_error(404)
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        words = request["messages"][-1]["content"].upper().split()
        if request.get("stream"):
            return self.stream(words)
        message = {"role": "assistant", "content": " ".join(words)}
        # Whether a key to the box reaches the app is part of the answer.
        self.answer(self.completion("chat.completion", {"message": message, "finish_reason": "stop"}) | {"system_fingerprint": str(self.headers["Authorization"])})

    @staticmethod
    def completion(kind, choice):
        return {"id": "1", "object": kind, "created": 0, "model": "upper", "choices": [{"index": 0} | choice]}

    def answer(self, document):
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self, words):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for i, word in enumerate(words):
            last = i == len(words) - 1
            self.event(json.dumps(self.completion("chat.completion.chunk", {"delta": {"content": word}, "finish_reason": "stop" if last else None})))
        self.event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def event(self, data):
        text = f"data: {data}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(text), text))
        self.wfile.flush()

    def log_message(self, *args):
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
