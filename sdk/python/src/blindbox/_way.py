"""How is every call written once, for programs that wait and for those with an event loop?

Calls are coroutines over a ``Way``, of which there are two. On a ``Blocking`` one nothing is
ever waited for but by the thread itself, so that ``finished`` runs a call to its end with no
event loop. On an ``AsyncWire`` (``_awire``) the event loop waits.
"""

from __future__ import annotations

import time
from email.message import Message
from typing import Any, Callable, Coroutine, Iterable, Optional, TypeVar, Union

from ._sidecar import Sidecar
from ._wire import MOST_ANSWER, Answer, Buffer, Headers, Wire

T = TypeVar("T")


class Reply:
    """An answer of the box. It must be read to its end or closed."""

    status: int
    headers: Message

    async def whole(self, most: Optional[int] = MOST_ANSWER) -> bytes:
        raise NotImplementedError

    async def readinto(self, room: Union[bytearray, memoryview]) -> None:
        """Fills room."""
        raise NotImplementedError

    async def json(self) -> Any:
        """The body as JSON; None for what is none."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


class Way:
    """A way to one box."""

    sidecar: Sidecar

    async def send(
        self,
        method: str,
        path: str,
        headers: Headers = (),
        body: Optional[Iterable[Buffer]] = None,
        length: Optional[int] = None,
        timeout: Optional[float] = None,
    ) -> Reply:
        """Sends a request, as ``Wire.send`` does."""
        raise NotImplementedError

    async def work(self, do: Callable[..., T], *args: Any) -> T:
        """Does what takes its time on this machine."""
        raise NotImplementedError

    async def pause(self, seconds: float) -> None:
        raise NotImplementedError


class Blocked(Reply):
    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.status, self.headers = answer.status, answer.headers
        self.close = answer.close  # type: ignore[method-assign]

    async def whole(self, most: Optional[int] = MOST_ANSWER) -> bytes:
        return self._answer.whole(most)

    async def readinto(self, room: Union[bytearray, memoryview]) -> None:
        self._answer.readinto(room)

    async def json(self) -> Any:
        return self._answer.json()


class Blocking(Way):
    """A wire as a way on which the thread itself waits."""

    def __init__(self, wire: Wire) -> None:
        self.wire, self.sidecar = wire, wire.sidecar

    async def send(
        self,
        method: str,
        path: str,
        headers: Headers = (),
        body: Optional[Iterable[Buffer]] = None,
        length: Optional[int] = None,
        timeout: Optional[float] = None,
    ) -> Reply:
        return Blocked(self.wire.send(method, path, headers, body, length, timeout))

    async def work(self, do: Callable[..., T], *args: Any) -> T:
        return do(*args)

    async def pause(self, seconds: float) -> None:
        time.sleep(seconds)


def finished(call: Coroutine[Any, Any, T]) -> T:
    """Runs a call over a blocking way to its end."""
    try:
        call.send(None)
    except StopIteration as e:
        result: T = e.value
        return result
    call.close()
    raise RuntimeError("a call over a blocking way waits for an event loop")
