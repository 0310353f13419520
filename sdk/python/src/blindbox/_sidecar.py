"""How does this process get a private way to one box?

It starts ``blindbox connect --private``, which verifies the box and then answers on a
socket that only this user can open. Nothing in Python talks to the box, and nothing is
forwarded before the box was verified. The sidecar watches its standard input, which is a
pipe from here: it ends with this process, however that ends.

A process that forks has a sidecar for itself: the child forgets the one of its parent,
and starts its own with its first request.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import warnings
import weakref
from dataclasses import dataclass, field
from typing import IO, Any, Dict, List, Optional
from urllib.parse import urlsplit

from . import _binary
from .errors import SidecarError, SimulationModeWarning, Timeout, UsageError, WrongType, of_tool

_PREFIX = "blindbox-"  # of the folder that the sidecar makes
_PATIENCE = 10.0  # seconds beyond the sidecar's own deadline


_KEY = "BLINDBOX_API_KEY"


@dataclass(frozen=True)
class Options:
    """Which box, who asks, and what is accepted.

    The folder and the environment count as they were when this was made: a sidecar that
    is started again is the same one, whatever the program has done meanwhile.
    """

    url: str
    trust: Optional[str] = None
    api_key: Optional[str] = field(default=None, repr=False)
    api_key_file: Optional[str] = None
    cert: Optional[str] = None
    key: Optional[str] = None
    verify_timeout: float = 30.0
    binary: Optional[str] = None
    folder: str = field(default_factory=os.getcwd)
    known_key: Optional[str] = field(default_factory=lambda: os.environ.get(_KEY), repr=False)

    def __post_init__(self) -> None:
        if self.api_key is not None and self.api_key_file is not None:
            raise UsageError("api_key and api_key_file", expected="one of them", nothing_sent=True)

    def arguments(self) -> List[str]:
        args = ["connect", "-o", "json", "--private", "--timeout", f"{self.verify_timeout:.3f}s"]
        for flag, value in (
            ("--trust", self.trust),
            ("--api-key-file", self.api_key_file),
            ("--cert", self.cert),
            ("--key", self.key),
        ):
            if value:
                args += [flag, value]
        return [*args, self.url]

    def environment(self) -> Dict[str, str]:
        env = dict(os.environ)
        env.pop(_KEY, None)
        key = self.known_key if self.api_key is None else self.api_key
        if key is not None:
            env[_KEY] = key
        return env


def origin(address: str, port: Optional[int] = None) -> str:
    """HOST, HOST:PORT or a URL as https://HOST[:PORT]."""
    if not isinstance(address, str):
        raise WrongType(
            f"an address of type {type(address).__name__}", expected="https://HOST[:PORT]", nothing_sent=True
        )
    text = address if "://" in address else "https://" + address
    try:
        parts = urlsplit(text)
        if port is None:
            port = parts.port
    except ValueError as e:
        raise UsageError(f"address {address!r}: {e}", nothing_sent=True) from None
    if parts.scheme != "https" or not parts.hostname:
        raise UsageError(f"address {address!r}", expected="https://HOST[:PORT]", nothing_sent=True)
    if parts.username is not None or parts.password is not None:
        raise UsageError("an address with a name or password in it", expected="https://HOST[:PORT]", nothing_sent=True)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"https://{host}" + (f":{port}" if port else "")


class Sidecar:
    """One ``blindbox connect --private`` for this process, started when it is needed."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.document: Dict[str, Any] = {}
        self.program: Optional[str] = None  # the one that was started first
        self._forget()
        _all.add(self)

    def _forget(self) -> None:
        """What a child of fork has to do: the sidecar is its parent's."""
        self._lock = threading.Lock()
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._end: Optional[Any] = None
        self._closed = False
        self._starting: Optional[subprocess.Popen[bytes]] = None

    def _after_fork(self) -> None:
        closed, process, end = self._closed, self._process, self._end
        self._forget()
        self._closed = closed
        if end is not None:
            end.detach()
        if process is not None:
            _let_go(process)

    @property
    def pid(self) -> Optional[int]:
        """The sidecar's process id, while there is one."""
        process = self._process
        return None if process is None else process.pid

    @property
    def running(self) -> bool:
        """True if there is one that has not ended."""
        process = self._process
        return process is not None and process.poll() is None

    @property
    def token(self) -> Optional[str]:
        token = self.document.get("token")
        return token if isinstance(token, str) else None

    @property
    def simulated(self) -> bool:
        """True unless the verdict says that hardware vouches for the box."""
        result = self.document.get("result")
        return not isinstance(result, dict) or result.get("simulated") is not False

    def start(self) -> None:
        """Verifies the box, unless that was done and the sidecar is still there."""
        with self._lock:
            self._start()

    def _start(self) -> None:
        if self._closed:
            raise UsageError("the client is closed", nothing_sent=True)
        if self.running:
            return
        self._stop()
        with tempfile.TemporaryFile() as errors:
            self.program = self.program or _binary.find(self.options.binary)
            self._starting = process = _launch(self.program, self.options, errors)
            if self._closed:
                process.kill()  # given up just now
            try:
                self.document = _verdict(process, errors, self.options.verify_timeout + _PATIENCE)
            except BaseException:
                _finish(process, None, os.getpid())
                raise
            finally:
                self._starting = None
        self._process = process
        self._end = weakref.finalize(self, _finish, process, self.document.get("socket"), os.getpid())
        if self.simulated:
            warnings.warn(
                f"{self.options.url} is SIMULATED: this proves nothing about hardware",
                SimulationModeWarning,
                stacklevel=5,
            )

    def dial(self, timeout: Optional[float]) -> socket.socket:
        """A connection to the sidecar. If that is gone a new one is started: nothing was sent."""
        self.start()
        try:
            return self._dial(timeout)
        except OSError:
            pass
        self.start()
        try:
            return self._dial(timeout)
        except OSError as e:
            raise SidecarError("the sidecar does not answer", seen=str(e), nothing_sent=True) from e

    def _dial(self, timeout: Optional[float]) -> socket.socket:
        sock = self._open(timeout)
        process = self._process
        if process is None or process.poll() is not None:
            # It has ended, and its port may be another program's by now.
            sock.close()
            raise ConnectionRefusedError("the sidecar has ended")
        return sock

    def _open(self, timeout: Optional[float]) -> socket.socket:
        path = self.document.get("socket")
        if not path:
            parts = urlsplit(str(self.document.get("local")))
            return socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 0), timeout)
        if sys.platform == "win32":
            raise SidecarError("the sidecar gave a Unix socket", nothing_sent=True)
        _owned(os.path.dirname(path))
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(timeout)
            sock.connect(path)
        except BaseException:
            sock.close()
            raise
        return sock

    def give_up(self) -> None:
        """Ends a verification that another thread waits for, and what was verified."""
        self._closed = True
        starting = self._starting
        if starting is not None:
            starting.kill()

    def _stop(self) -> None:
        if self._end is not None:
            self._end()
        self._process = self._end = None

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._stop()


def _owned(folder: str) -> None:
    """Raises unless nobody else can have put a socket there. A program that tidies the
    folder for temporary files away leaves the name to who comes first."""
    if sys.platform == "win32":
        return
    info = os.lstat(folder)
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.geteuid() or info.st_mode & 0o077:
        raise PermissionError(f"{folder} is not this user's alone")


_all: "weakref.WeakSet[Sidecar]" = weakref.WeakSet()


def _after_fork() -> None:
    for sidecar in list(_all):
        sidecar._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _launch(program: str, options: Options, errors: IO[bytes]) -> "subprocess.Popen[bytes]":
    flags: Dict[str, Any] = {}
    if sys.platform == "win32":
        flags["creationflags"] = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
    else:
        flags["start_new_session"] = True  # Ctrl-C in a notebook is not meant for it
    try:
        return subprocess.Popen(
            [program, *options.arguments()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            bufsize=0,  # plain files have no locks that a fork could leave taken
            env=options.environment(),
            cwd=options.folder,
            **flags,
        )
    except OSError as e:
        raise SidecarError("the program blindbox cannot be started", seen=str(e), nothing_sent=True) from e


def _verdict(process: "subprocess.Popen[bytes]", errors: IO[bytes], patience: float) -> Dict[str, Any]:
    """What the sidecar says when it is ready; an exception if it refuses the box."""
    parts: List[bytes] = []
    reader = threading.Thread(target=_read_document, args=(process.stdout, parts), daemon=True)
    reader.start()
    reader.join(patience)
    if reader.is_alive():
        raise Timeout("no verdict in time", nothing_sent=True)
    try:
        document = json.loads(b"".join(parts))
    except ValueError:
        raise SidecarError("the sidecar said nothing that can be read", seen=_tail(errors), nothing_sent=True) from None
    if not isinstance(document, dict) or document.get("error") or not document.get("local"):
        raise of_tool(document if isinstance(document, dict) else {})
    return document


def _read_document(out: IO[bytes], parts: List[bytes]) -> None:
    """Reads one object, which ends in a brace at the beginning of a line."""
    while not b"".join(parts[-2:]).endswith(b"\n}\n"):
        try:
            part = os.read(out.fileno(), 1 << 16)
        except (OSError, ValueError):
            return
        if not part:
            return
        parts.append(part)


def _tail(errors: IO[bytes]) -> str:
    errors.seek(0)
    return errors.read()[-2000:].decode("utf-8", "replace").strip()


def _finish(process: "subprocess.Popen[bytes]", path: Optional[str], owner: int) -> None:
    """Ends a sidecar, and removes what it leaves if it was killed."""
    if os.getpid() != owner:
        return  # a child of fork ends: this is not its sidecar
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(3)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    _close_pipes(process)
    folder = os.path.dirname(path) if path else ""
    if os.path.basename(folder).startswith(_PREFIX):
        shutil.rmtree(folder, ignore_errors=True)


def _close_pipes(process: "subprocess.Popen[bytes]") -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except OSError:
                pass


def _let_go(process: "subprocess.Popen[bytes]") -> None:
    """Closes a child's copies of the pipes, so that the sidecar sees its owner's end."""
    _close_pipes(process)
    process.returncode = 0  # it is not this process's to wait for
