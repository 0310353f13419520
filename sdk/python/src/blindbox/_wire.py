"""How does a request reach the sidecar, and an answer come back?

HTTP/1.1 over the sidecar's socket, with connections that are used again. Bodies are sent
from where they lie and answers read to where they shall be: large tensors and models are
not copied.
"""

from __future__ import annotations

import http.client
import json
import numbers
import os
import socket
import threading
import weakref
from email.message import Message
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple, Union
from urllib.parse import urlencode

from ._sidecar import Sidecar
from .errors import AnswerTooLarge, BlindBoxError, ConnectionLost, SidecarError, Timeout, UsageError, of_proxy

Buffer = Union[bytes, bytearray, memoryview]
Headers = Union[Mapping[str, str], Iterable[Tuple[str, str]]]

OWN_ERROR = "Blindbox-Proxy-Error"  # of answers of the sidecar; no box can send it
_MOST_IDLE = 32
MOST_PROBLEM = 1 << 20
_MOST_JSON = 64 << 20
MOST_ANSWER = 1 << 30  # bytes of an answer that is held in memory, unless its reader says otherwise
_SLICE = 1 << 20  # sent at a time: what a timeout is for


class _Connection(http.client.HTTPConnection):
    def __init__(self, sidecar: Sidecar, timeout: Optional[float]) -> None:
        super().__init__("localhost")
        self.auto_open = 0
        self.sock = sidecar.dial(timeout)

    def usable(self) -> bool:
        self.sock.setblocking(False)
        return is_open(self.sock)


def is_open(sock: socket.socket) -> bool:
    """False if the other end has closed it meanwhile, or says what nobody asked."""
    try:
        sock.recv(1, socket.MSG_PEEK)
    except (BlockingIOError, InterruptedError):
        return True
    except OSError:
        return False
    return False


class Answer:
    """An answer of the box. It must be read to its end or closed."""

    def __init__(self, wire: "Wire", connection: _Connection, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.reason = response.reason
        self.headers = response.headers
        self._wire = wire
        self._connection: Optional[_Connection] = connection
        self._response = response

    def read(self, size: Optional[int] = None) -> bytes:
        try:
            data = self._response.read(size) if size is not None else self._response.read()
        except Exception as e:
            self.close()
            raise lost(e) from e
        self._done()
        return data

    def whole(self, most: Optional[int] = MOST_ANSWER) -> bytes:
        """The body, unless it is larger than so many bytes."""
        if too_large(self.headers, most):
            self.close()
            raise AnswerTooLarge.than(most)
        if most is None or is_size(self.headers.get("Content-Length", "")):
            return self.read()
        parts: List[bytes] = []
        left = most + 1
        while left > 0:
            part = self.read(min(left, _SLICE))
            if not part:
                return b"".join(parts)
            parts.append(part)
            left -= len(part)
        self.close()
        raise AnswerTooLarge.than(most)

    def read1(self, size: int) -> bytes:
        """What is there, at most size bytes; b"" at the end."""
        try:
            data = self._response.read1(size)
            if not data:
                self._response.read()  # some versions of http.client do not see the end by themselves
        except Exception as e:
            self.close()
            raise lost(e) from e
        self._done()
        return data

    def readinto(self, room: Union[bytearray, memoryview]) -> None:
        """Fills room."""
        left = memoryview(room)
        while left.nbytes:
            try:
                n = self._response.readinto(left)
            except Exception as e:
                self.close()
                raise lost(e) from e
            if not n:
                self.close()
                raise ConnectionLost("the answer ended early")
            left = left[n:]
        self._done()

    def json(self) -> Any:
        """The body as JSON; None for what is none."""
        return parsed(self.whole(_MOST_JSON))

    def _done(self) -> None:
        if self._connection is None or not self._response.isclosed():
            return
        connection, self._connection = self._connection, None
        if self._response.will_close:
            connection.close()
        else:
            self._wire._keep(connection)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._response.close()
            connection.close()


def parsed(data: bytes) -> Any:
    """JSON; None for what is none."""
    try:
        return json.loads(data) if data else None
    except (ValueError, RecursionError):
        return None


def too_large(headers: Message, most: Optional[int]) -> bool:
    """True if an answer says itself that it is larger."""
    length = headers.get("Content-Length", "")
    return most is not None and is_size(length) and int(length) > most


class Wire:
    """The way to one box. It may be used by many threads at once."""

    def __init__(self, sidecar: Sidecar) -> None:
        self.sidecar = sidecar
        self._forget()
        _all.add(self)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._idle: List[_Connection] = []

    def send(
        self,
        method: str,
        path: str,
        headers: Headers = (),
        body: Optional[Iterable[Buffer]] = None,
        length: Optional[int] = None,
        timeout: Optional[float] = None,
    ) -> Answer:
        """Sends a request. body is its parts, length their bytes together; None if not known.

        timeout is how many seconds nothing may come or go; None for ever. An answer of the
        sidecar itself is raised as the error that it is.
        """
        check_timeout(timeout)
        connection = self._take(timeout)
        try:
            answer = self._exchange(connection, method, path, headers, body, length)
        except BaseException as e:
            connection.close()
            raise failed(e)
        if answer.headers.get(OWN_ERROR):
            problem = answer.read(MOST_PROBLEM)
            answer.close()
            raise own(problem)
        return answer

    def _exchange(
        self,
        c: _Connection,
        method: str,
        path: str,
        headers: Headers,
        body: Optional[Iterable[Buffer]],
        length: Optional[int],
    ) -> Answer:
        write_head(c, self.sidecar.token, method, path, headers, body is not None, length)
        try:
            c.endheaders()
            if body is not None:
                _send_body(c, body, length)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the box may have refused it before its end, and said why
        return Answer(self, c, c.getresponse())

    def _take(self, timeout: Optional[float]) -> _Connection:
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                return _Connection(self.sidecar, timeout)
            if connection.usable():
                connection.sock.settimeout(timeout)
                return connection
            connection.close()

    def _keep(self, connection: _Connection) -> None:
        with self._lock:
            if len(self._idle) < _MOST_IDLE:
                self._idle.append(connection)
                return
        connection.close()

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
        self.sidecar.close()

    def _after_fork(self) -> None:
        idle = self._idle
        self._forget()
        for connection in idle:
            connection.close()  # this process's copy of it


_all: "weakref.WeakSet[Wire]" = weakref.WeakSet()


def _after_fork() -> None:
    for wire in list(_all):
        wire._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def write_head(
    c: http.client.HTTPConnection,
    token: Optional[str],
    method: str,
    path: str,
    headers: Headers,
    has_body: bool,
    length: Optional[int],
) -> None:
    """Writes what stands before a body, but for its end. Fields that would lead elsewhere or say
    another length are the sidecar's and ours."""
    given = list(headers.items() if isinstance(headers, Mapping) else headers)
    names = {name.lower() for name, _ in given}
    c.putrequest(method, path, skip_accept_encoding="accept-encoding" in names)
    for name, value in given:
        if name.lower() not in ("host", "content-length", "transfer-encoding", "connection", "proxy-authorization"):
            c.putheader(name, value)
    if token:
        c.putheader("Proxy-Authorization", "Bearer " + token)
    if has_body and length is None:
        c.putheader("Transfer-Encoding", "chunked")
    elif has_body or method in ("POST", "PUT", "PATCH"):
        c.putheader("Content-Length", str(length or 0))


class BodyFailed(Exception):
    """The caller's own body raised what is this one's cause."""


def slices(body: Iterable[Buffer]) -> Iterator[memoryview]:
    """The bytes of a body, a part of them at a time."""
    parts = iter(body)
    while True:
        try:
            part = next(parts, None)
        except Exception as e:
            raise BodyFailed from e
        if part is None:
            return
        yield from sliced(part)


def sliced(part: Buffer) -> Iterator[memoryview]:
    data = memoryview(part)
    if data.nbytes:
        data = data.cast("B")
        for at in range(0, len(data), _SLICE):
            yield data[at : at + _SLICE]


class Frames:
    """What goes around the parts of a body: chunks of HTTP/1.1 if its length is not known.
    With a length it sees to it that there are as many bytes."""

    def __init__(self, length: Optional[int]) -> None:
        self._length, self._sent = length, 0

    def around(self, data: memoryview) -> Tuple[Buffer, ...]:
        self._sent += len(data)
        if self._length is None:
            return b"%x\r\n" % len(data), data, b"\r\n"
        if self._sent > self._length:
            raise UsageError(f"the body has more than the {self._length} bytes that were announced")
        return (data,)

    def end(self) -> bytes:
        if self._length is not None and self._sent != self._length:
            raise UsageError(f"the body has {self._sent} bytes, {self._length} were announced")
        return b"0\r\n\r\n" if self._length is None else b""


def _send_body(c: _Connection, body: Iterable[Buffer], length: Optional[int]) -> None:
    frames = Frames(length)
    for data in slices(body):
        for part in frames.around(data):
            c.send(part)
    end = frames.end()
    if end:
        c.send(end)


def is_size(text: str) -> bool:
    """True for digits, as many as a size has. Those of other alphabets are none."""
    return text.isascii() and text.isdigit() and len(text) <= 18


def check_timeout(timeout: Optional[float]) -> None:
    if timeout is None:
        return
    if isinstance(timeout, bool) or not isinstance(timeout, numbers.Real) or not timeout > 0:
        raise UsageError(f"timeout {timeout!r}", expected="seconds, more than 0, or None", nothing_sent=True)


def failed(e: BaseException) -> BaseException:
    """What an exchange raises for what went wrong in it: the caller's own errors as they are."""
    if isinstance(e, BodyFailed):
        return e.__cause__ or e
    if isinstance(e, http.client.InvalidURL):
        return UsageError(f"a path that cannot be sent: {e}", nothing_sent=True)
    if isinstance(e, (BlindBoxError, ValueError)) or not isinstance(e, Exception):
        return e
    because = lost(e)
    because.__cause__ = e
    return because


def lost(e: BaseException) -> BlindBoxError:
    if isinstance(e, BlindBoxError):
        return e
    if isinstance(e, (TimeoutError, socket.timeout)):
        return Timeout("nothing came in time; the request may have arrived")
    if isinstance(e, (http.client.HTTPException, OSError, ValueError, AttributeError)):
        return ConnectionLost("the connection was lost; the request may have arrived", seen=str(e) or type(e).__name__)
    return SidecarError("the sidecar's answer cannot be read", seen=repr(e))


def own(problem: bytes) -> BlindBoxError:
    try:
        said = json.loads(problem)
    except ValueError:
        said = {}
    return of_proxy(said if isinstance(said, dict) else {})


def query(path: str, parameters: Dict[str, str]) -> str:
    """A path with parameters behind it."""
    return path + "?" + urlencode(parameters) if parameters else path
