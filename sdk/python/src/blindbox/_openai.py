"""An ``openai.OpenAI`` or ``openai.AsyncOpenAI`` whose every request goes through a sidecar.

The library is the caller's. Only the transport below its HTTP client is ours, so that
retries, streams and types are as its users know them. What ends a call for good, such as a
box that was refused, is not tried again.
"""

from __future__ import annotations

import importlib
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, AsyncIterator, Dict, Iterator, Optional

from ._awire import AsyncAnswer, AsyncWire
from ._wire import MOST_ANSWER, Answer, Wire, too_large
from .errors import AnswerTooLarge, AttestationError, BlindBoxError

if TYPE_CHECKING:
    import openai

_CHUNK = 1 << 16
_WHOLE = "blindbox_whole"  # of a request: its answer is read into memory

_sent: ContextVar[bool] = ContextVar("blindbox_sent", default=False)  # an attempt of this call may have arrived


class _Final(BaseException):
    """An error after which the library would try again for nothing. It is the cause."""


class _Bound:
    """How much of an answer comes, if it is one that is read into memory."""

    def __init__(self, answer: Any, request: Any, most: Optional[int]) -> None:
        self._left = most if request.extensions.get(_WHOLE) else None
        self._most = most
        if too_large(answer.headers, self._left):
            answer.close()
            self._end()

    def took(self, part: bytes) -> None:
        if self._left is not None:
            self._left -= len(part)
            if self._left < 0:
                self._end()

    def _end(self) -> None:
        raise _Final from AnswerTooLarge.than(self._most)


def over(wire: Wire, owned: bool, most: Optional[int] = MOST_ANSWER, **options: Any) -> "openai.OpenAI":
    """The client. owned says that wire ends with it, most how large an answer may be that is no stream."""
    library = _library(options)
    httpx = _httpx(library.DefaultHttpxClient, "Client")

    class Stream(httpx.SyncByteStream):  # type: ignore[misc, name-defined]
        def __init__(self, answer: Answer, bound: _Bound) -> None:
            self._answer, self._bound = answer, bound

        def __iter__(self) -> Iterator[bytes]:
            while True:
                part = self._answer.read1(_CHUNK)
                if not part:
                    return
                self._bound.took(part)
                yield part

        def close(self) -> None:
            self._answer.close()

    class Transport(httpx.BaseTransport):  # type: ignore[misc, name-defined]
        def handle_request(self, request: Any) -> Any:
            try:
                answer = wire.send(**_asked(request))
            except BlindBoxError as e:
                raise _told(e) from e
            _sent.set(True)
            return httpx.Response(**_head(answer), stream=Stream(answer, _Bound(answer, request, most)))

        def close(self) -> None:
            if owned:
                wire.close()

    class Http(library.DefaultHttpxClient):  # type: ignore[misc, name-defined]
        def send(self, request: Any, *, stream: bool = False, **more: Any) -> Any:
            request.extensions[_WHOLE] = not stream
            return super().send(request, stream=stream, **more)

    class Box(library.OpenAI):  # type: ignore[misc, name-defined]
        def request(self, *args: Any, **more: Any) -> Any:
            before = _sent.set(False)
            try:
                return super().request(*args, **more)
            except (library.APIConnectionError, _Final) as e:
                raise _why(e) from None
            finally:
                _sent.reset(before)

    options.setdefault("api_key", "-")  # the sidecar adds the caller's
    http_client = Http(transport=Transport(), trust_env=False)
    box: "openai.OpenAI" = Box(base_url="http://localhost/v1", http_client=http_client, **options)
    return box


def async_over(wire: AsyncWire, owned: bool, most: Optional[int] = MOST_ANSWER, **options: Any) -> "openai.AsyncOpenAI":
    """The same for an event loop. A task that is cancelled ends its request."""
    library = _library(options)
    httpx = _httpx(library.DefaultAsyncHttpxClient, "AsyncClient")

    class Stream(httpx.AsyncByteStream):  # type: ignore[misc, name-defined]
        def __init__(self, answer: AsyncAnswer, bound: _Bound) -> None:
            self._answer, self._bound = answer, bound

        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                part = await self._answer.read1(_CHUNK)
                if not part:
                    return
                self._bound.took(part)
                yield part

        async def aclose(self) -> None:
            self._answer.close()

    class Transport(httpx.AsyncBaseTransport):  # type: ignore[misc, name-defined]
        async def handle_async_request(self, request: Any) -> Any:
            try:
                answer = await wire.send(**_asked(request))
            except BlindBoxError as e:
                raise _told(e) from e
            _sent.set(True)
            return httpx.Response(**_head(answer), stream=Stream(answer, _Bound(answer, request, most)))

        async def aclose(self) -> None:
            wire.hang_up()
            if owned:
                await wire.work(wire.sidecar.close)

    class Http(library.DefaultAsyncHttpxClient):  # type: ignore[misc, name-defined]
        async def send(self, request: Any, *, stream: bool = False, **more: Any) -> Any:
            request.extensions[_WHOLE] = not stream
            return await super().send(request, stream=stream, **more)

    class Box(library.AsyncOpenAI):  # type: ignore[misc, name-defined]
        async def __aenter__(self) -> Any:
            await wire.work(wire.sidecar.start)
            return await super().__aenter__()

        async def request(self, *args: Any, **more: Any) -> Any:
            before = _sent.set(False)
            try:
                return await super().request(*args, **more)
            except (library.APIConnectionError, _Final) as e:
                raise _why(e) from None
            finally:
                _sent.reset(before)

    options.setdefault("api_key", "-")
    http_client = Http(transport=Transport(), trust_env=False)
    box: "openai.AsyncOpenAI" = Box(base_url="http://localhost/v1", http_client=http_client, **options)
    return box


def _asked(request: Any) -> Dict[str, Any]:
    """A request of the library, as a wire sends it."""
    known = request.headers.get("content-length")
    bodiless = known is None and "transfer-encoding" not in request.headers
    return {
        "method": request.method,
        "path": request.url.raw_path.decode("ascii"),
        "headers": list(request.headers.items()),
        "body": None if bodiless else request.stream,
        "length": int(known) if known is not None else None,
        "timeout": request.extensions.get("timeout", {}).get("read"),
    }


def _head(answer: Any) -> Dict[str, Any]:
    return {"status_code": answer.status, "headers": list(answer.headers.items())}


def _told(e: BlindBoxError) -> BaseException:
    """What the library is told. An attempt that sent nothing is not all of a call."""
    e.nothing_sent = e.nothing_sent and not _sent.get()
    _sent.set(not e.nothing_sent)
    return _Final() if isinstance(e, AttestationError) else e


def _why(e: BaseException) -> BaseException:
    """Why a call failed: what came through the sidecar is not masked."""
    return e.__cause__ if isinstance(e.__cause__, BlindBoxError) else e


def _library(options: Dict[str, Any]) -> Any:
    try:
        import openai
    except ImportError as e:
        raise ImportError("this needs openai: pip install openai") from e
    for name in ("base_url", "http_client"):
        if name in options:
            raise TypeError(f"{name} is set here: it leads to the box that was verified")
    return openai


def _httpx(client: type, name: str) -> Any:
    """The HTTP library that this openai is built on: httpx, or one of its successors."""
    for base in client.__mro__:
        if base.__name__ == name:
            return importlib.import_module(base.__module__.partition(".")[0])
    raise ImportError("this version of openai has an HTTP client that is not known here")
