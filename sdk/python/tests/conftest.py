"""Real boxes for the tests: `blindbox dev`, simulated, with real models in them."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, List, Optional

import pytest

import blindbox

REPO = pathlib.Path(__file__).resolve().parents[3]
TUMOUR = REPO / "examples" / "tumour" / "tumour.onnx"
TUMOUR_ID = "sha256:e8c18ec353e24ffaed6e218c071d5313f20f72fbfb85fae94ae28c86680a8c98"

KEYS = {"acme": "a-key-of-the-provider", "clinic": "a-key-of-the-hospital", "nobody": "a-key-of-nobody-at-all"}


def hashed(name: str) -> str:
    return "sha256:" + hashlib.sha256(KEYS[name].encode()).hexdigest()


POLICY = f"""
name: clinic
store:
  memory: 512MiB
  owner: {{bytes: 128MiB, models: 5, loads: 4}}
limits: {{request: 64MiB, concurrent: 64}}
models:
  - {{name: tumour, path: {TUMOUR}, sha256: "{TUMOUR_ID}"}}
callers:
  - {{name: acme, api_key: "{hashed("acme")}", may: [upload, delete, list, query]}}
  - {{name: clinic, api_key: "{hashed("clinic")}", may: [query, list]}}
"""


@dataclass
class Box:
    """A box that runs, and how to call it."""

    url: str
    trust: str
    process: "subprocess.Popen[bytes]"
    folder: pathlib.Path

    def connect(self, who: str = "acme", **more: Any) -> blindbox.Client:
        more.setdefault("trust", self.trust)
        return blindbox.connect(self.url, api_key=KEYS[who], **more)


Start = Callable[..., Box]


@pytest.fixture(scope="session")
def binary() -> str:
    found = os.environ.get("BLINDBOX_BINARY")
    assert found, "BLINDBOX_BINARY names the program that is tested: go test ./sdk/python sets it"
    return found


@pytest.fixture(scope="session")
def start(binary: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts boxes that run until the end."""
    running: List["subprocess.Popen[bytes]"] = []

    def begin(
        policy: Optional[str] = None, command: Optional[List[str]] = None, more: Optional[List[str]] = None
    ) -> Box:
        folder = tmp_path_factory.mktemp("box")
        args = [
            binary,
            "dev",
            "-o",
            "json",
            "--listen",
            "127.0.0.1:0",
            "--trust-out",
            str(folder / "trust.yaml"),
            *(more or []),
        ]
        if policy is not None:
            (folder / "box.yaml").write_text(policy)
            args += ["-f", str(folder / "box.yaml")]
        if command is not None:
            args += ["--anyone", "--", *command]
        env = {**os.environ, "BLINDBOX_HOME": str(folder / "home")}
        with open(folder / "log", "wb") as log:
            process = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=log, env=env, bufsize=0)
        running.append(process)
        document = read_document(process, folder)
        return Box(document["url"], str(folder / "trust.yaml"), process, folder)

    yield begin
    for process in running:
        process.send_signal(signal.SIGINT)
    for process in running:
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
        process.stdout and process.stdout.close()


def read_document(process: "subprocess.Popen[bytes]", folder: pathlib.Path) -> Dict[str, Any]:
    assert process.stdout is not None
    guard = threading.Timer(300, process.kill)
    guard.start()
    data = b""
    while not data.endswith(b"\n}\n"):
        part = os.read(process.stdout.fileno(), 1 << 16)
        assert part, (folder / "log").read_text() + data.decode()
        data += part
    guard.cancel()
    document = json.loads(data)
    assert "url" in document, document.get("error")
    return dict(document)


@pytest.fixture(scope="session")
def box(start: Start) -> Box:
    return start(POLICY)


@pytest.fixture
def client(box: Box) -> Iterator[blindbox.Client]:
    with box.connect() as c:
        yield c
        for m in c.list_models():
            if m.owner == "acme":
                c.delete_model(m.name, version=m.version)


@pytest.fixture(scope="session")
def sample() -> List[float]:
    """The record of one patient, 30 measurements; the diagnosis is malignant."""
    document = json.loads((REPO / "examples" / "tumour" / "sample.json").read_text())
    return list(document["inputs"][0]["data"])


@pytest.fixture(scope="session")
def app(start: Start) -> Box:
    """A box around a program that says what it was sent."""
    port = free_port()
    script = pathlib.Path(__file__).parent / "app.py"
    return start(command=[sys.executable, str(script), str(port)], more=["--port", str(port)])


def free_port() -> int:
    """A port that nobody listens on. Systems give out none of this range by themselves, so
    that it stays free until the program that is told it listens, or listens again."""
    for port in random.sample(range(31000, 32700), 1000):
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no port is free")
