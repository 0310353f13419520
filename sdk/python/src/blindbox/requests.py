"""Calls to any program in a box, in the manner of the library ``requests``.

    from blindbox import requests

    with requests.Session(trust="trust.yaml") as box:
        print(box.get("https://box.example/v1/models").json())

The box is verified before a byte is sent. What would weaken that is refused:
``verify=False``, proxies, http://. A redirect is followed within the box and no further.
Cookies and hooks are not kept.
"""

from __future__ import annotations

import base64
import json as jsonlib
import os
import threading
import weakref
from types import TracebackType
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple, Type, Union
from urllib.parse import quote, urlencode, urljoin, urlsplit

from . import _body
from ._sidecar import Options, Sidecar, origin
from ._wire import MOST_ANSWER, Answer, Wire
from .errors import AnswerTooLarge, BlindBoxError, BoxError, Timeout, Unavailable, UsageError, of_box

RequestException = BlindBoxError
HTTPError = BoxError
ConnectionError = Unavailable
ReadTimeout = Timeout

DEFAULT_TIMEOUT = 60.0
_CHUNK = 1 << 16
_KEPT = "%/:=&?~#+!$,;'@()*[]|"  # of a path and a query; all else is written as %XX
_MOST_REDIRECTS = 20

Path = Union[str, "os.PathLike[str]"]
TimeoutLike = Union[None, float, Tuple[Optional[float], Optional[float]]]


class Headers(Dict[str, str]):
    """Headers, whose names are the same in any case."""

    def __init__(self, items: Iterable[Tuple[str, str]] = ()) -> None:
        super().__init__()
        for name, value in items:
            key = name.lower()
            super().__setitem__(key, f"{self[key]}, {value}" if key in self else value)

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.lower())

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name.lower(), default)


class Response:
    """An answer. With stream=True its body is read as it comes, and it has to be closed.

    max_bytes is how much of it may be in memory: a body, or with a stream one line of it.
    """

    def __init__(self, answer: Answer, url: str, stream: bool, max_bytes: Optional[int] = MOST_ANSWER) -> None:
        self.status_code = answer.status
        self.reason = answer.reason
        self.headers = Headers(answer.headers.items())
        self.url = url
        self.history: List[Response] = []
        self._answer = answer
        self._content: Optional[bytes] = None
        self._most = max_bytes
        if not stream:
            self._content = answer.whole(max_bytes)

    @property
    def ok(self) -> bool:
        return self.status_code < 400

    @property
    def is_redirect(self) -> bool:
        return self.status_code in (301, 302, 303, 307, 308) and "location" in self.headers

    @property
    def content(self) -> bytes:
        if self._content is None:
            self._content = self._answer.whole(self._most)
        return self._content

    @property
    def encoding(self) -> str:
        for part in self.headers.get("content-type", "").split(";")[1:]:
            name, _, value = part.strip().partition("=")
            if name.lower() == "charset":
                return str(value.strip("\"' "))
        return "utf-8"

    @property
    def text(self) -> str:
        try:
            return self.content.decode(self.encoding, "replace")
        except LookupError:
            return self.content.decode("utf-8", "replace")

    def json(self, **options: Any) -> Any:
        return jsonlib.loads(self.content, **options)

    def iter_content(self, chunk_size: int = _CHUNK) -> Iterator[bytes]:
        """The body as it comes, in parts of at most chunk_size bytes."""
        if self._content is not None:
            for at in range(0, len(self._content), chunk_size):
                yield self._content[at : at + chunk_size]
            return
        while True:
            part = self._answer.read1(chunk_size)
            if not part:
                return
            yield part

    def iter_lines(self, decode_unicode: bool = False) -> Iterator[Any]:
        """The body's lines as they come, without their ends."""
        rest = b""
        for part in self.iter_content():
            *lines, rest = (rest + part).split(b"\n")
            for line in lines:
                yield self._line(line, decode_unicode)
            if self._most is not None and len(rest) > self._most:
                self.close()
                raise AnswerTooLarge.than(self._most)
        if rest:
            yield self._line(rest, decode_unicode)

    def _line(self, line: bytes, decode: bool) -> Any:
        line = line[:-1] if line.endswith(b"\r") else line
        return line.decode(self.encoding, "replace") if decode else line

    def raise_for_status(self) -> None:
        """Raises the error that the status stands for, from 400 on."""
        if self.ok:
            return
        try:
            said = self.json()
        except ValueError:
            said = None
        error = of_box(self.status_code, said, self.headers.get("retry-after"), self)
        if not isinstance(said, dict):
            error.title = error.message = f"{self.reason} for {self.url}"
        raise error

    def close(self) -> None:
        self._answer.close()

    def __bool__(self) -> bool:
        return self.ok

    def __enter__(self) -> "Response":
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Response [{self.status_code}]>"


class Session:
    """Sends requests to boxes that one trust file accepts, and keeps a sidecar for each."""

    def __init__(
        self,
        trust: Optional[Path] = None,
        *,
        api_key: Optional[str] = None,
        api_key_file: Optional[Path] = None,
        verify_timeout: float = 30.0,
        binary: Optional[str] = None,
        max_bytes: Optional[int] = MOST_ANSWER,
    ) -> None:
        self.max_bytes = max_bytes
        self.headers: Dict[str, str] = {}
        self.auth: Optional[Tuple[str, str]] = None
        self.params: Dict[str, Any] = {}
        self._more: Dict[str, Any] = {
            "trust": _absolute(trust),
            "api_key": api_key,
            "api_key_file": _absolute(api_key_file),
            "verify_timeout": verify_timeout,
            "binary": binary,
        }
        self._wires: Dict[Options, Wire] = {}
        self._lock = threading.Lock()
        _all.add(self)

    def request(
        self,
        method: str,
        url: str,
        *,
        params: Any = None,
        data: Any = None,
        json: Any = None,
        files: Any = None,
        headers: Optional[Mapping[str, str]] = None,
        auth: Optional[Tuple[str, str]] = None,
        timeout: TimeoutLike = DEFAULT_TIMEOUT,
        stream: bool = False,
        allow_redirects: bool = True,
        verify: Any = True,
        proxies: Any = None,
        cert: Union[None, Path, Tuple[Path, Path]] = None,
        trust: Optional[Path] = None,
        api_key: Optional[str] = None,
        max_bytes: Optional[int] = None,
    ) -> Response:
        """Sends a request to the box at url, after it was verified, and gives its answer.

        timeout is how many seconds nothing may come or go, or a pair of which the second is
        that. trust, api_key and max_bytes take the place of the session's. An answer of more
        than max_bytes is an ``AnswerTooLarge``, unless it is read as it comes (stream=True).
        """
        _refuse_weaker(verify, proxies)
        wire = self._wire(url, trust, api_key, cert)
        given = {**self.headers, **(headers or {})}
        body, length, kind = _body.made(data, json, files)
        lower = {name.lower() for name in given}
        if kind and "content-type" not in lower:
            given["Content-Type"] = kind
        auth = auth or self.auth
        if auth is not None:
            given["Authorization"] = "Basic " + base64.b64encode(":".join(auth).encode()).decode()
        if "user-agent" not in lower:
            given["User-Agent"] = "blindbox-python"
        target = _with(_with(url, self.params), params)
        most = self.max_bytes if max_bytes is None else max_bytes
        return _follow(wire, method.upper(), target, given, body, length, timeout, stream, allow_redirects, most)

    def _wire(self, url: str, trust: Optional[Path], api_key: Optional[str], cert: Any) -> Wire:
        more = dict(self._more)
        if trust is not None:
            more["trust"] = _absolute(trust)
        if api_key is not None:
            more["api_key"], more["api_key_file"] = api_key, None
        if cert is not None:
            if not isinstance(cert, tuple):
                raise UsageError("cert without a key", expected="a pair of files: (cert, key)", nothing_sent=True)
            more["cert"], more["key"] = _absolute(cert[0]), _absolute(cert[1])
        parts = urlsplit(url)
        if parts.scheme != "https":
            raise UsageError(
                f"{url[:100]!r} is no address of a box", expected="https://HOST[:PORT]/...", nothing_sent=True
            )
        options = Options(url=origin(f"https://{parts.netloc}"), **more)
        with self._lock:
            wire = self._wires.get(options)
            if wire is None:
                wire = self._wires[options] = Wire(Sidecar(options))
            return wire

    def get(self, url: str, **more: Any) -> Response:
        return self.request("GET", url, **more)

    def head(self, url: str, **more: Any) -> Response:
        more.setdefault("allow_redirects", False)
        return self.request("HEAD", url, **more)

    def options(self, url: str, **more: Any) -> Response:
        return self.request("OPTIONS", url, **more)

    def post(self, url: str, data: Any = None, json: Any = None, **more: Any) -> Response:
        return self.request("POST", url, data=data, json=json, **more)

    def put(self, url: str, data: Any = None, **more: Any) -> Response:
        return self.request("PUT", url, data=data, **more)

    def patch(self, url: str, data: Any = None, **more: Any) -> Response:
        return self.request("PATCH", url, data=data, **more)

    def delete(self, url: str, **more: Any) -> Response:
        return self.request("DELETE", url, **more)

    def close(self) -> None:
        """Ends the sidecars. The session can be used again, and starts others then."""
        with self._lock:
            wires, self._wires = list(self._wires.values()), {}
        for wire in wires:
            wire.close()

    def __enter__(self) -> "Session":
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()


class SecureSession(Session):
    """A session with one box, under its name in the first BlindBox: verified here and now, and
    asked by paths. What that accepted beside (a policy of its own, a service that attests, a
    debug mode) is refused: what is accepted is in the trust file alone."""

    def __init__(
        self,
        addr: str,
        cce_file: Any = None,
        attestation_endpoint: Any = None,
        debug_mode: bool = False,
        **more: Any,
    ) -> None:
        for name, given in (
            ("cce_file", cce_file),
            ("attestation_endpoint", attestation_endpoint),
            ("debug_mode", debug_mode),
        ):
            if given:
                raise UsageError(
                    f"{name} does nothing here",
                    seen=f"{name}={given!r}",
                    expected="a trust file that says what is accepted",
                    fix="Leave it out, and give trust=.",
                    nothing_sent=True,
                )
        super().__init__(**more)
        self.base_url = origin(addr)
        self._wire(self.base_url, None, None, None).sidecar.start()

    def request(self, method: str, url: str = "", **more: Any) -> Response:
        """Sends a request to a path of the box."""
        return super().request(method, urljoin(self.base_url + "/", url), **more)

    def get(self, url: str = "", **more: Any) -> Response:
        return self.request("GET", url, **more)


def _refuse_weaker(verify: Any, proxies: Any) -> None:
    if verify is not True:
        raise UsageError(
            f"verify={verify!r}: a box is verified always",
            fix="What is accepted is in the trust file alone: trust=.",
            nothing_sent=True,
        )
    if proxies:
        raise UsageError(
            "proxies= is not for boxes: the connection ends in the box that was verified", nothing_sent=True
        )


def _follow(
    wire: Wire,
    method: str,
    url: str,
    headers: Dict[str, str],
    body: Optional[List[Any]],
    length: Optional[int],
    timeout: TimeoutLike,
    stream: bool,
    allow: bool,
    most: Optional[int],
) -> Response:
    history: List[Response] = []
    base = wire.sidecar.options.url
    while True:
        parts = urlsplit(url)
        path = quote(parts.path or "/", _KEPT) + (f"?{quote(parts.query, _KEPT)}" if parts.query else "")
        try:
            answer = wire.send(method, path, headers, _body.parts(body), length, _seconds(timeout))
        except BlindBoxError as e:
            e.nothing_sent = e.nothing_sent and not history  # what was redirected was sent
            raise
        r = Response(answer, url, stream, most)
        r.history = list(history)
        target = _within(base, url, r) if allow and r.is_redirect else None
        if target is None:
            return r
        if len(history) == _MOST_REDIRECTS:
            raise BlindBoxError(f"more than {_MOST_REDIRECTS} redirects from {history[0].url}")
        r.close()
        history.append(r)
        url = target
        if r.status_code == 303 or (r.status_code in (301, 302) and method == "POST"):
            method, body, length = ("HEAD" if method == "HEAD" else "GET"), None, None
            headers = {n: v for n, v in headers.items() if n.lower() != "content-type"}
        elif not all(isinstance(part, (bytes, bytearray, memoryview)) for part in body or ()):
            raise BlindBoxError(
                "a redirect asks for a body again that can be read once",
                seen=f"{r.status_code} from {r.history[-1].url if r.history else r.url}",
                fix="Send it to the address where the redirect leads, or give it as bytes.",
            )


def _within(base: str, url: str, r: Response) -> Optional[str]:
    """Where a redirect leads within the box; None if it leads elsewhere. The sidecar writes
    the box's own address as its own."""
    to = urlsplit(urljoin(url, r.headers["location"]))
    local = to.scheme == "http" and to.hostname in ("localhost", "127.0.0.1")
    if not local and f"{to.scheme}://{to.netloc}" != base:
        return None
    return f"{base}{to.path or '/'}" + (f"?{to.query}" if to.query else "")


def _seconds(timeout: TimeoutLike) -> Optional[float]:
    return timeout[1] if isinstance(timeout, tuple) else timeout


def _absolute(path: Optional[Path]) -> Optional[str]:
    return None if path is None else os.path.abspath(path)


def _with(url: str, params: Any) -> str:
    """A URL with parameters behind those that it has."""
    parts = urlsplit(url)
    if isinstance(params, (str, bytes)):
        more = params if isinstance(params, str) else params.decode()
    else:
        more = urlencode(_body.pairs(params), doseq=True)
    query = "&".join(part for part in (parts.query, more) if part)
    return parts._replace(query=query, fragment="").geturl()


_all: "weakref.WeakSet[Session]" = weakref.WeakSet()


def _after_fork() -> None:
    for session in list(_all):
        session._lock = threading.Lock()  # a thread of the parent may have had it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

def connect(addr: str, cce_file: Any = None, **more: Any) -> SecureSession:
    """A ``SecureSession`` with the box at addr."""
    return SecureSession(addr, cce_file, **more)


_default = Session()


def request(method: str, url: str, **more: Any) -> Response:
    """Sends one request. Sidecars are kept for further ones to the same box: ``close``."""
    return _default.request(method, url, **more)


def get(url: str, **more: Any) -> Response:
    return _default.get(url, **more)


def head(url: str, **more: Any) -> Response:
    return _default.head(url, **more)


def options(url: str, **more: Any) -> Response:
    return _default.options(url, **more)


def post(url: str, data: Any = None, json: Any = None, **more: Any) -> Response:
    return _default.post(url, data, json, **more)


def put(url: str, data: Any = None, **more: Any) -> Response:
    return _default.put(url, data, **more)


def patch(url: str, data: Any = None, **more: Any) -> Response:
    return _default.patch(url, data, **more)


def delete(url: str, **more: Any) -> Response:
    return _default.delete(url, **more)


def close() -> None:
    """Ends the sidecars that requests without a session have started."""
    _default.close()
