"""The sidecar: what it refuses, and what becomes of it."""

from __future__ import annotations

import gc
import os
import pathlib
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import warnings
from typing import Any, Callable, Dict, List

import numpy
import pytest
from conftest import KEYS, Box, Start, free_port

import blindbox
from blindbox import _binary
from blindbox._sidecar import Options, Sidecar, origin

ANYONE = """
name: open
store: {memory: 64MiB, owner: {bytes: 1MiB, models: 3}}
callers: [{anyone: true, may: [list, query]}]
"""


def sidecar(client: blindbox.Client) -> Sidecar:
    return client._wire.sidecar


def gone(pid: int) -> bool:
    """Says whether a process ends within a minute."""
    for _ in range(1200):
        try:
            with open(f"/proc/{pid}/stat") as f:
                if f.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def unanswered(address: Any) -> bool:
    """Says whether nobody listens at an address any longer, within a minute."""
    for _ in range(1200):
        with socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET) as s:
            if s.connect_ex(address) != 0:
                return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize(
    "fault, code, kind",
    [
        ("relay", "BBX-221", blindbox.AttestationError),
        ("wrong-measurement", "BBX-203", blindbox.AttestationError),
        ("wrong-policy", "BBX-204", blindbox.AttestationError),
        ("replay", "BBX-", blindbox.AttestationError),
        ("vendor-down", "BBX-3", blindbox.Unavailable),
    ],
)
def test_refused(start: Start, fault: str, code: str, kind: Any) -> None:
    bad = start(ANYONE, more=["--fault", fault])
    with pytest.raises(kind) as refused:
        blindbox.connect(bad.url, trust=bad.trust)
    e = refused.value
    assert (
        e.code.startswith(code) and e.nothing_sent and e.fix and e.page and e.reason and "nothing was sent" in str(e)
    ), str(e)
    if fault == "relay":
        assert (
            e.seen
            and e.expected
            and e.title == "channel: the evidence names another key"
            and e.reason == "key_mismatch"
        )


def test_box_is_exchanged(start: Start) -> None:
    """A box that was verified and is another one at the next request is refused then."""
    first = start(ANYONE, more=["--listen", f"127.0.0.1:{free_port()}"])
    with blindbox.connect(first.url, trust=first.trust) as client:
        assert client.list_models() == []
        first.process.send_signal(signal.SIGINT)
        first.process.wait(60)
        with pytest.raises(blindbox.ConnectionLost) as lost:
            client.list_models()
        assert lost.value.code == "BBX-301" and not lost.value.nothing_sent
        address = first.url.partition("//")[2]
        start(ANYONE.replace("open", "other"), more=["--listen", address])
        with pytest.raises(blindbox.AttestationError) as refused:
            client.list_models()
        e = refused.value
        assert e.code.startswith("BBX-20") and e.nothing_sent and e.seen and e.reason, str(e)


def test_no_box(tmp_path: pathlib.Path, box: Box) -> None:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        with pytest.raises(blindbox.Unavailable) as refused:
            blindbox.connect(f"127.0.0.1:{s.getsockname()[1]}", trust=box.trust)
        assert refused.value.code == "BBX-301" and isinstance(refused.value, ConnectionError)
        s.listen()  # accepts, and never speaks
        with pytest.raises(blindbox.Unavailable, match="no verdict in time"):
            blindbox.connect(f"127.0.0.1:{s.getsockname()[1]}", trust=box.trust, verify_timeout=0.3)
    with pytest.raises(blindbox.UsageError) as missing:
        blindbox.connect(box.url, trust=tmp_path / "none.yaml")
    assert missing.value.code == "BBX-105"
    (tmp_path / "bad.yaml").write_text("x: 1")
    with pytest.raises(blindbox.UsageError) as bad:
        blindbox.connect(box.url, trust=tmp_path / "bad.yaml")
    assert bad.value.code == "BBX-103" and "bad.yaml:1:1: " in bad.value.seen
    with pytest.raises(blindbox.UsageError) as key:
        blindbox.connect(box.url, trust=box.trust, api_key="short")
    assert key.value.code == "BBX-110" and "short" not in str(key.value)


@pytest.mark.parametrize(
    "address", ["http://box.example", "ftp://box.example", "https://", "https://a:b@box.example", "box.example:99999"]
)
def test_no_address(address: str) -> None:
    with pytest.raises(blindbox.UsageError):
        blindbox.connect(address)


def test_addresses() -> None:
    assert origin("box.example") == "https://box.example"
    assert origin("box.example", 9924) == "https://box.example:9924"
    assert origin("https://box.example:8443/v2?x") == "https://box.example:8443"
    assert origin("https://[::1]:8443") == "https://[::1]:8443"


@pytest.mark.parametrize(
    "name", ["simulation_mode", "hazmat_manifest_path", "hazmat_http_on_unattested_port", "use_cloud_manifest"]
)
def test_nothing_weakens(box: Box, name: str) -> None:
    more: Dict[str, Any] = {name: True}
    with pytest.raises(blindbox.UsageError, match=name) as refused:
        box.connect(**more)
    assert "nothing was sent" in str(refused.value)
    host, _, port = box.url.rpartition(":")
    with blindbox.connect(
        host, attested_server_port=int(port), unattested_server_port=1, simulation_mode=False, trust=box.trust
    ) as client:
        assert client.simulated and client.result["verdict"] == "trusted"


def test_simulation_is_said(box: Box) -> None:
    with pytest.warns(blindbox.SimulationModeWarning, match="SIMULATED"):
        box.connect().close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(blindbox.SimulationModeWarning):
            box.connect()
    gc.collect()


def test_private(box: Box) -> None:
    with box.connect() as client:
        path = sidecar(client).document["socket"]
        folder = os.stat(os.path.dirname(path))
        assert stat.S_IMODE(folder.st_mode) == 0o700 and folder.st_uid == os.getuid()
        with open(f"/proc/{sidecar(client).pid}/cmdline", "rb") as f:
            assert KEYS["acme"].encode() not in f.read()
        assert KEYS["acme"] not in repr(sidecar(client).options)
        pid = sidecar(client).pid
    assert pid and gone(pid) and not os.path.exists(os.path.dirname(path))
    with pytest.raises(blindbox.UsageError, match="closed"):
        client.list_models()
    client.close()  # twice


def test_sidecar_is_killed(box: Box, sample: List[float]) -> None:
    """What was not sent yet goes to a new one, which verifies the box again."""
    with box.connect() as client:
        for _ in range(3):
            old = sidecar(client).pid
            folder = os.path.dirname(sidecar(client).document["socket"])
            assert old
            os.kill(old, signal.SIGKILL)
            assert gone(old) and unanswered(folder + "/s")
            assert client.run_model("tumour", input_tensors=[sample])["label"].as_flat() == [0]
            assert sidecar(client).pid != old and not os.path.exists(folder)


def test_sidecar_is_killed_in_a_request(app: Box, tmp_path: pathlib.Path) -> None:
    from blindbox import requests

    with requests.Session(app.trust) as session:
        session.get(app.url + "/echo")
        (wire,) = session._wires.values()
        pid, path = wire.sidecar.pid, wire.sidecar.document["socket"]
        assert pid
        arrived = tmp_path / "arrived"

        def kill() -> None:
            for _ in range(1200):
                if arrived.exists():
                    break
                time.sleep(0.05)
            assert pid
            os.kill(pid, signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        with pytest.raises(blindbox.ConnectionLost) as lost:
            session.get(f"{app.url}/slow?60&{arrived}")
        killer.join()
        assert not lost.value.nothing_sent and "may have arrived" in str(lost.value)
        assert gone(pid) and unanswered(path)
        assert session.get(app.url + "/echo").ok


def test_timeout(app: Box) -> None:
    from blindbox import requests

    with requests.Session(app.trust) as session:
        session.get(app.url + "/echo")
        began = time.monotonic()
        with pytest.raises(blindbox.Timeout) as late:
            session.get(app.url + "/slow?60", timeout=0.3)
        assert isinstance(late.value, TimeoutError) and time.monotonic() - began < 30
        assert session.get(app.url + "/echo", timeout=(30, 60)).ok
        for none in (0, -1.0):
            with pytest.raises(blindbox.UsageError, match="timeout"):
                session.get(app.url + "/echo", timeout=none)


def test_threads(box: Box, sample: List[float]) -> None:
    failed: List[BaseException] = []
    with box.connect() as client:
        rows = [numpy.array([sample], dtype=numpy.float32) * (1 + i) for i in range(32)]
        want = [client.run_model("tumour", input_tensors={"features": r})["probabilities"].as_flat() for r in rows]

        def work(i: int) -> None:
            try:
                for _ in range(10):
                    try:
                        got = client.run_model("tumour", input_tensors={"features": rows[i]})["probabilities"].as_flat()
                    except blindbox.Busy:
                        continue
                    assert got == want[i]
            except BaseException as e:
                failed.append(e)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(32)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert not failed, failed[0]
        assert len(client._wire._idle) <= 32


def in_child(do: Callable[[], None]) -> int:
    """Does it in a child of fork, and gives its exit code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pid = os.fork()
    if pid == 0:
        code = 1
        try:
            do()
            code = 0
        except BaseException as e:
            print(repr(e), file=sys.stderr)
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_fork(box: Box, sample: List[float]) -> None:
    """A child has a sidecar of its own, and its parent's is none the worse."""
    with box.connect() as client:
        before = sidecar(client).pid
        client.list_models()
        lock = client._wire._lock
        lock.acquire()  # as another thread might have it at this moment

        def child() -> None:
            assert client.run_model("tumour", input_tensors=[sample])["label"].as_flat() == [0]
            mine = sidecar(client).pid
            assert mine and mine != before
            client.close()
            assert gone(mine)

        assert in_child(child) == 0
        assert in_child(lambda: None) == 0
        lock.release()
        assert sidecar(client).pid == before
        assert client.run_model("tumour", input_tensors=[sample])["label"].as_flat() == [0]
        assert sidecar(client).pid == before


PROGRAM = """
import os, sys, time, blindbox
client = blindbox.connect(sys.argv[1], trust=sys.argv[2])
if sys.argv[3] == "fork":
    if os.fork() == 0:
        time.sleep(600)
        os._exit(0)
print(client._wire.sidecar.pid, client._wire.sidecar.document["socket"], flush=True)
if sys.argv[3] == "exit":
    sys.exit()
time.sleep(600)
"""


@pytest.mark.parametrize("how", ["kill", "exit", "fork", "interrupt"])
def test_ends_with_the_process(box: Box, how: str) -> None:
    """However the process ends, its sidecar does, and nothing is left in a folder."""
    p = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, box.url, box.trust, how],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        start_new_session=True,
    )
    assert p.stdout is not None
    pid, path = p.stdout.readline().split()
    if how in ("kill", "fork"):
        p.kill()
    elif how == "interrupt":
        p.send_signal(signal.SIGINT)
    p.wait(60)
    p.stdout.close()
    ended = gone(int(pid))
    if how == "fork":
        os.killpg(p.pid, signal.SIGKILL)  # the other child
    assert ended
    for _ in range(1200):
        if not os.path.exists(os.path.dirname(path)):
            break
        time.sleep(0.05)
    assert not os.path.exists(os.path.dirname(path))


TOKEN = """
import http.server, json, os, sys, threading

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        ok = self.headers.get("Proxy-Authorization") == "Bearer secret" and self.headers["Host"] == "localhost"
        body = json.dumps({"models": [], "ok": ok}).encode()
        self.send_response(200 if ok else 407)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass

server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
local = "http://127.0.0.1:%d" % server.server_port
print(json.dumps({"local": local, "token": "secret", "result": {"simulated": False}}, indent=2), flush=True)
sys.stdin.read()
"""


def test_token(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are no Unix sockets: a port, and a token in each request. The program
    that is started again is the one that was, wherever this one is by now."""
    program = tmp_path / "blindbox"
    program.write_text(f"#!{sys.executable}\n{TOKEN}")
    program.chmod(0o755)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(tmp_path)
    with blindbox.connect("box.example", binary="./blindbox") as client:
        monkeypatch.chdir(elsewhere)
        assert not client.simulated and client.list_models() == []
        old = sidecar(client).pid
        assert old
        port = int(sidecar(client).document["local"].rpartition(":")[2])
        os.kill(old, signal.SIGKILL)
        assert gone(old) and unanswered(("127.0.0.1", port))
        assert client.list_models() == [] and sidecar(client).pid != old
        pid = sidecar(client).pid
    assert pid and gone(pid)


FOLDER = """
import json, os, socket, sys, tempfile

folder = tempfile.mkdtemp(prefix="blindbox-")
s = socket.socket(socket.AF_UNIX)
s.bind(folder + "/s")
s.listen()
os.chmod(folder, 0o755)
said = {"local": "http://localhost", "socket": folder + "/s", "result": {"simulated": False}}
print(json.dumps(said, indent=2), flush=True)
sys.stdin.read()
"""


def test_place_of_another(tmp_path: pathlib.Path) -> None:
    """A socket where others can put one is not spoken to."""
    program = tmp_path / "blindbox"
    program.write_text(f"#!{sys.executable}\n{FOLDER}")
    program.chmod(0o755)
    with blindbox.connect("box.example", binary=str(program)) as client:
        with pytest.raises(blindbox.SidecarError, match="not this user's alone") as refused:
            client.list_models()
        assert refused.value.nothing_sent


def test_no_program_of_the_folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that lies where the caller happens to be is not started."""
    planted = tmp_path / "planted"
    planted.write_bytes(b"\x7fELF")
    planted.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    for path in ("", ".", "./", os.path.relpath(tmp_path, "/")):
        monkeypatch.setenv("PATH", path)
        assert _binary.on_path("planted") is None
        with pytest.raises(blindbox.SidecarError):
            _binary.find("planted")
    assert _binary.find("./planted") == str(planted), "the caller has named it"
    monkeypatch.setenv("PATH", f".{os.pathsep}{tmp_path}")
    assert _binary.find("planted") == str(planted)


def test_as_it_was(box: Box, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sidecar that is started again accepts what the first did, and is the same caller's."""
    monkeypatch.setenv("BLINDBOX_API_KEY", KEYS["acme"])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trust.yaml").write_text(pathlib.Path(box.trust).read_text())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "trust.yaml").write_text("no trust file")
    with blindbox.connect(box.url) as client:
        monkeypatch.chdir(elsewhere)
        monkeypatch.setenv("BLINDBOX_API_KEY", KEYS["clinic"])
        old = sidecar(client).pid
        assert old and client.caller["name"] == "acme"
        path = sidecar(client).document["socket"]
        os.kill(old, signal.SIGKILL)
        assert gone(old) and unanswered(path)
        assert client.list_models() and client.caller["name"] == "acme" and sidecar(client).pid != old
    with blindbox.connect(box.url, trust=box.trust) as client:
        assert client.caller["name"] == "clinic"
    with pytest.raises(blindbox.UsageError, match="one of them"):
        box.connect(api_key_file="key")


def test_not_pickled(box: Box) -> None:
    import pickle

    with box.connect() as client, pytest.raises(TypeError, match="connect in each process"):
        pickle.dumps(client)
    error = pickle.loads(pickle.dumps(blindbox.Busy("full", status=429, retry_after=3, code="BBX-429")))
    assert (error.status, error.retry_after, error.code, str(error)) == (429, 3, "BBX-429", "429: BBX-429 full")


def test_program(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, binary: str, capsys: Any) -> None:
    monkeypatch.setenv(_binary.VARIABLE, str(tmp_path / "none"))
    with pytest.raises(blindbox.SidecarError, match="BLINDBOX_BINARY"):
        blindbox.connect("box.example")
    monkeypatch.delenv(_binary.VARIABLE)
    monkeypatch.setenv("PATH", str(tmp_path))
    if not os.path.exists(os.path.join(os.path.dirname(blindbox.__file__), "bin")):
        with pytest.raises(blindbox.SidecarError, match="not on the PATH"):
            _binary.find()
        script = tmp_path / "blindbox"
        script.write_text("#!/usr/bin/env python3\n")
        script.chmod(0o755)
        with pytest.raises(blindbox.SidecarError):
            _binary.find()
        with pytest.raises(SystemExit):
            _binary.main()
        assert "not there" in capsys.readouterr().err
        script.unlink()
        script.symlink_to(binary)
        assert _binary.find() == str(script)
    broken = tmp_path / "broken"
    broken.write_bytes(b"#!/bin/sh\necho no >&2\n")
    broken.chmod(0o755)
    with pytest.raises(blindbox.SidecarError, match="nothing that can be read") as refused:
        blindbox.connect("box.example", binary=str(broken))
    assert refused.value.seen
    mute = tmp_path / "mute"
    mute.write_bytes(b"#!/bin/sh\nexec /bin/sleep 60\n")
    mute.chmod(0o755)
    monkeypatch.setattr("blindbox._sidecar._PATIENCE", 0.2)
    with pytest.raises(blindbox.Timeout, match="no verdict"):
        Sidecar(Options("https://box.example", binary=str(mute), verify_timeout=0.1)).start()
