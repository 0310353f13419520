"""How does a request reach the sidecar from an event loop, and end when its task does?

HTTP/1.1 over the sidecar's socket, by asyncio's own calls for sockets: no thread waits for
an answer. A task that is cancelled closes its connection in the same moment; the sidecar
then takes the request back, and the box ends what it runs for it.
"""

from __future__ import annotations

import asyncio
import http.client
import io
import os
import socket
import threading
import weakref
from typing import Any, AsyncIterable, Awaitable, Callable, Iterable, List, Optional, TypeVar, Union, cast

from ._sidecar import Sidecar
from ._way import Reply, Way
from ._wire import (
    MOST_ANSWER,
    MOST_PROBLEM,
    OWN_ERROR,
    BodyFailed,
    Buffer,
    Frames,
    Headers,
    check_timeout,
    failed,
    is_open,
    lost,
    own,
    parsed,
    sliced,
    slices,
    too_large,
    write_head,
)
from .errors import AnswerTooLarge, ConnectionLost

T = TypeVar("T")

_MOST_IDLE = 32
_MOST_HEAD = 1 << 20  # of an answer
_PART = 1 << 16
_MOST_JSON = 64 << 20


class _Text:
    """Stands for a socket towards http.client, which writes and reads heads."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = data

    def sendall(self, data: bytes) -> None:
        self.data += data

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self.data)

    def close(self) -> None:
        pass


class _Stream:
    """A connection, of which one task at a time sends and reads."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.loop = asyncio.get_running_loop()
        self.timeout: Optional[float] = None
        self._late = False
        self._have = bytearray()

    def usable(self) -> bool:
        return self.loop is asyncio.get_running_loop() and not self._have and is_open(self.sock)

    def close(self) -> None:
        self.sock.close()

    async def send(self, data: Buffer) -> None:
        await self._in_time(self.loop.sock_sendall(self.sock, data))

    async def some(self, most: int) -> bytes:
        """What is there, at most so many bytes; b"" at the end."""
        if not self._have:
            return await self._in_time(self.loop.sock_recv(self.sock, min(most, _PART)))
        data = bytes(self._have[:most])
        del self._have[:most]
        return data

    async def into(self, room: memoryview) -> int:
        if not self._have:
            return await self._in_time(self.loop.sock_recv_into(self.sock, room))
        n = min(len(self._have), len(room))
        room[:n] = self._have[:n]
        del self._have[:n]
        return n

    async def until(self, end: bytes, most: int) -> bytes:
        """What comes up to an end, with it."""
        seen = 0
        while True:
            at = self._have.find(end, max(0, seen - len(end)))
            if at >= 0:
                break
            seen = len(self._have)
            part = await self._in_time(self.loop.sock_recv(self.sock, _PART)) if seen <= most else b""
            if not part:
                raise http.client.RemoteDisconnected("the answer has no beginning")
            self._have += part
        data = bytes(self._have[: at + len(end)])
        del self._have[: at + len(end)]
        return data

    async def _in_time(self, operation: Awaitable[T]) -> T:
        """Waits for one operation, and no longer than the timeout. That ends the connection
        rather than the operation, which leaves no moment at which both have happened."""
        timer = None if self.timeout is None else self.loop.call_later(self.timeout, self._end)
        try:
            result = await operation
        except OSError:
            if self._late:
                raise TimeoutError from None
            raise
        finally:
            if timer is not None:
                timer.cancel()
        if self._late:
            raise TimeoutError
        return result

    def _end(self) -> None:
        self._late = True
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class AsyncAnswer(Reply):
    """An answer of the box, read as it comes."""

    def __init__(self, wire: "AsyncWire", stream: _Stream, response: http.client.HTTPResponse) -> None:
        self.status, self.reason, self.headers = response.status, response.reason, response.headers
        self._wire = wire
        self._stream: Optional[_Stream] = stream
        self._closes = response.will_close
        self._chunked = bool(response.chunked)
        self._left: Optional[int] = 0 if self._chunked else response.length  # of the body, or of a chunk
        self._first = True  # chunk
        self._over = not self._chunked and self._left == 0
        self._done()

    async def read1(self, size: int) -> bytes:
        """What is there, at most size bytes; b"" at the end."""
        if not await self._some_left():
            return b""
        stream = self._connected()
        return self._took(
            await self._closing(stream.some(size if self._left is None else min(size, self._left))), len
        )

    async def readinto(self, room: Union[bytearray, memoryview]) -> None:
        view = memoryview(room)
        while len(view):
            if not await self._some_left():
                self.close()
                raise ConnectionLost("the answer ended early")
            part = view if self._left is None else view[: self._left]
            view = view[self._took(await self._closing(self._connected().into(part)), int) :]

    async def whole(self, most: Optional[int] = MOST_ANSWER) -> bytes:
        if too_large(self.headers, most):
            self.close()
            raise AnswerTooLarge.than(most)
        data = bytearray()
        while True:
            part = await self.read1(_PART)
            if not part:
                return bytes(data)
            data += part
            if most is not None and len(data) > most:
                self.close()
                raise AnswerTooLarge.than(most)

    async def json(self) -> Any:
        return parsed(await self.whole(_MOST_JSON))

    def close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def _connected(self) -> _Stream:
        if self._stream is None:
            raise ConnectionLost("the answer was closed")
        return self._stream

    def _took(self, part: T, size: Callable[[T], int]) -> T:
        n = size(part)
        if n == 0 and self._left is not None:
            self.close()
            raise ConnectionLost("the answer ended early")
        if self._left is not None:
            self._left -= n
        self._over = n == 0 or (self._left == 0 and not self._chunked)
        self._done()
        return part

    async def _some_left(self) -> bool:
        if self._chunked and self._left == 0 and not self._over:
            await self._closing(self._next_chunk())
        return not self._over

    async def _next_chunk(self) -> None:
        """RFC 9112, 7.1. Trailers are passed over."""
        stream = self._connected()
        if not self._first:
            await stream.until(b"\r\n", _PART)
        self._first = False
        line = await stream.until(b"\r\n", _PART)
        self._left = int(line.partition(b";")[0], 16)
        if self._left < 0:
            raise http.client.IncompleteRead(b"")
        if self._left == 0:
            while await stream.until(b"\r\n", _MOST_HEAD) != b"\r\n":
                pass
            self._over = True
            self._done()

    async def _closing(self, operation: Awaitable[T]) -> T:
        try:
            return await operation
        except BaseException as e:
            self.close()
            if isinstance(e, Exception):
                raise lost(e) from e
            raise

    def _done(self) -> None:
        if not self._over or self._stream is None:
            return
        stream, self._stream = self._stream, None
        if self._closes:
            stream.close()
        else:
            self._wire._keep(stream)


class AsyncWire(Way):
    """The way to one box for the tasks of an event loop. Another loop may use it later."""

    def __init__(self, sidecar: Sidecar) -> None:
        self.sidecar = sidecar
        self._forget()
        _all.add(self)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._idle: List[_Stream] = []

    async def send(
        self,
        method: str,
        path: str,
        headers: Headers = (),
        body: Union[Iterable[Buffer], AsyncIterable[Buffer], None] = None,
        length: Optional[int] = None,
        timeout: Optional[float] = None,
    ) -> AsyncAnswer:
        check_timeout(timeout)
        stream = await self._take()
        stream.timeout = timeout
        try:
            answer = await self._exchange(stream, method, path, headers, body, length)
        except BaseException as e:
            stream.close()
            raise failed(e)
        if answer.headers.get(OWN_ERROR):
            problem = await answer.whole(MOST_PROBLEM)
            raise own(problem)
        return answer

    async def _exchange(
        self,
        stream: _Stream,
        method: str,
        path: str,
        headers: Headers,
        body: Union[Iterable[Buffer], AsyncIterable[Buffer], None],
        length: Optional[int],
    ) -> AsyncAnswer:
        head = _Text()
        c = http.client.HTTPConnection("localhost")
        c.sock = cast(socket.socket, head)
        write_head(c, self.sidecar.token, method, path, headers, body is not None, length)
        c.endheaders()
        try:
            await stream.send(head.data)
            if body is not None:
                await _send_body(stream, body, length)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the box may have refused it before its end, and said why
        text = await stream.until(b"\r\n\r\n", _MOST_HEAD)
        response = http.client.HTTPResponse(cast(socket.socket, _Text(text)), method=method)
        response.begin()
        return AsyncAnswer(self, stream, response)

    async def _take(self) -> _Stream:
        while True:
            with self._lock:
                stream = self._idle.pop() if self._idle else None
            if stream is None:
                return _Stream(await self.work(self.sidecar.dial, None))
            if stream.usable():
                return stream
            stream.close()

    def _keep(self, stream: _Stream) -> None:
        with self._lock:
            if len(self._idle) < _MOST_IDLE:
                self._idle.append(stream)
                return
        stream.close()

    async def work(self, do: Callable[..., T], *args: Any) -> T:
        """Does it in a thread. If nobody waits for it any longer, what it opens is closed."""
        doing = asyncio.get_running_loop().run_in_executor(None, do, *args)
        try:
            return await asyncio.shield(doing)
        except asyncio.CancelledError:
            doing.add_done_callback(_close_result)
            raise

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def hang_up(self) -> None:
        """Closes the connections that nobody uses."""
        with self._lock:
            idle, self._idle = self._idle, []
        for stream in idle:
            stream.close()

    def _after_fork(self) -> None:
        idle = self._idle
        self._forget()
        for stream in idle:
            stream.close()  # this process's copy of it


def _close_result(doing: "asyncio.Future[Any]") -> None:
    if not doing.cancelled() and doing.exception() is None and hasattr(doing.result(), "close"):
        doing.result().close()


async def _send_body(
    stream: _Stream, body: Union[Iterable[Buffer], AsyncIterable[Buffer]], length: Optional[int]
) -> None:
    frames = Frames(length)
    if isinstance(body, AsyncIterable):
        parts = body.__aiter__()
        while True:
            try:
                part = await parts.__anext__()
            except StopAsyncIteration:
                break
            except Exception as e:
                raise BodyFailed from e
            for data in sliced(part):
                for framed in frames.around(data):
                    await stream.send(framed)
    else:
        for data in slices(body):
            for framed in frames.around(data):
                await stream.send(framed)
    end = frames.end()
    if end:
        await stream.send(end)


_all: "weakref.WeakSet[AsyncWire]" = weakref.WeakSet()


def _after_fork() -> None:
    for wire in list(_all):
        wire._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
