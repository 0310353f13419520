"""An ``openai.OpenAI`` whose every request goes through a sidecar.

The library is the caller's. Only the transport below its HTTP client is ours, so that
retries, streams and types are as its users know them.
"""

from __future__ import annotations

import importlib
import threading
from typing import TYPE_CHECKING, Any, Iterator, Optional

from ._wire import Answer, Wire
from .errors import BlindBoxError

if TYPE_CHECKING:
    import openai

_CHUNK = 1 << 16


def over(wire: Wire, owned: bool, **options: Any) -> "openai.OpenAI":
    """The client. owned says that wire ends with it."""
    try:
        import openai
    except ImportError as e:
        raise ImportError("this needs openai: pip install openai") from e
    for name in ("base_url", "http_client"):
        if name in options:
            raise TypeError(f"{name} is set here: it leads to the box that was verified")
    httpx = _httpx(openai.DefaultHttpxClient)

    class Stream(httpx.SyncByteStream):  # type: ignore[misc, name-defined]
        def __init__(self, answer: Answer) -> None:
            self._answer = answer

        def __iter__(self) -> Iterator[bytes]:
            while True:
                part = self._answer.read1(_CHUNK)
                if not part:
                    return
                yield part

        def close(self) -> None:
            self._answer.close()

    tried = threading.local()  # .sent: an attempt of this call may have arrived

    class Transport(httpx.BaseTransport):  # type: ignore[misc, name-defined]
        def handle_request(self, request: Any) -> Any:
            try:
                return self._handle(request)
            except BlindBoxError as e:
                e.nothing_sent = e.nothing_sent and not getattr(tried, "sent", False)
                tried.sent = not e.nothing_sent
                raise

        def _handle(self, request: Any) -> Any:
            known = request.headers.get("content-length")
            body: Optional[Any] = request.stream
            if known is None and "transfer-encoding" not in request.headers:
                body = None
            answer = wire.send(
                request.method,
                request.url.raw_path.decode("ascii"),
                list(request.headers.items()),
                body,
                int(known) if known is not None else None,
                request.extensions.get("timeout", {}).get("read"),
            )
            tried.sent = True
            return httpx.Response(answer.status, headers=list(answer.headers.items()), stream=Stream(answer))

        def close(self) -> None:
            if owned:
                wire.close()

    class Box(openai.OpenAI):
        def request(self, *args: Any, **more: Any) -> Any:
            tried.sent = False
            try:
                return super().request(*args, **more)
            except openai.APIConnectionError as e:
                if isinstance(e.__cause__, BlindBoxError):
                    raise e.__cause__ from None  # why a box was refused is not masked
                raise

    options.setdefault("api_key", "-")  # the sidecar adds the caller's
    http_client = openai.DefaultHttpxClient(transport=Transport(), trust_env=False)
    return Box(base_url="http://localhost/v1", http_client=http_client, **options)


def _httpx(client: type) -> Any:
    """The HTTP library that this openai is built on: httpx, or one of its successors."""
    for base in client.__mro__:
        if base.__name__ == "Client":
            return importlib.import_module(base.__module__.partition(".")[0])
    raise ImportError("this version of openai has an HTTP client that is not known here")
