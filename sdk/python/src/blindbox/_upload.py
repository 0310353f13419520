"""How does a model get into a box, whatever happens on the way?

The file is read twice: its SHA-256 is announced before its first byte, and what the box
has made of it is compared in the end. If the connection is cut, the upload goes on where
the box has come to (draft-ietf-httpbis-resumable-upload).
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from typing import Any, BinaryIO, Callable, Dict, Iterator, Optional, Tuple, Union

from . import _binary
from ._way import Reply, Way
from ._wire import Buffer, is_size, query
from .errors import (
    AttestationError,
    BlindBoxError,
    BoxError,
    Busy,
    Conflict,
    ConnectionLost,
    InvalidRequest,
    NotFound,
    ReceiptError,
    Timeout,
    Unavailable,
    UsageError,
    WrongType,
    of_box,
    of_tool,
)
from .receipts import Asking, Read, Receipt

Progress = Union[bool, None, Callable[[int, int], None]]

_CHUNK = 1 << 20
_MOST_SAID = 1 << 20
_PARTIAL = "application/partial-upload"
_TRIES = 5  # without one byte of progress
_LONGEST_WAIT = 60.0
_PATIENCE = 3.0  # seconds that somebody who gave up waits for the box to forget a part


class Source:
    """A file, or bytes in memory, that can be read again from any byte."""

    def __init__(self, model: Any, binary: Optional[str] = None) -> None:
        self.name = ""
        self._owned = False
        self._folder: Optional[tempfile.TemporaryDirectory[str]] = None
        self._bytes: Optional[memoryview] = None
        self._file: Optional[BinaryIO] = None
        if hasattr(model, "SerializeToString"):  # an onnx.ModelProto
            model = model.SerializeToString()
        if isinstance(model, (str, os.PathLike)):
            self._open(self._packed(os.fsdecode(model), binary))
        elif hasattr(model, "read"):
            self._take(model)
        else:
            self._view(model)

    def _packed(self, path: str, binary: Optional[str]) -> str:
        """The path itself, or that of the bundle that the program makes of a folder."""
        self.name = os.path.basename(os.path.abspath(path))
        if not os.path.isdir(path):
            return path
        self._folder = tempfile.TemporaryDirectory(prefix="blindbox-")
        bundle = os.path.join(self._folder.name, "bundle")
        command = [_binary.find(binary), "model", "pack", "-o", "json", "-f", bundle, "--", path]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if done.returncode != 0:
            self.close()
            raise of_tool(_document(done.stdout))
        return bundle

    def _open(self, path: str) -> None:
        self._file, self._owned, self._start = open(path, "rb"), True, 0
        self.size = os.fstat(self._file.fileno()).st_size

    def _take(self, file: Any) -> None:
        if isinstance(file, io.TextIOBase):
            raise WrongType(
                "a file that is open for reading text",
                expected='one for reading bytes: open(..., "rb")',
                nothing_sent=True,
            )
        if getattr(file, "seekable", lambda: False)():
            self._file, self._start = file, file.tell()
            self.size = file.seek(0, io.SEEK_END) - self._start
        else:
            self._view(file.read())
        name = getattr(file, "name", "")
        self.name = os.path.basename(name) if isinstance(name, str) else ""

    def _view(self, data: Any) -> None:
        try:
            self._bytes = memoryview(data).cast("B")
        except TypeError:
            raise WrongType(
                f"a model of type {type(data).__name__}",
                expected="a path, bytes or a file open for reading bytes",
                nothing_sent=True,
            ) from None
        self.size = len(self._bytes)

    def parts(self, offset: int) -> Iterator[Buffer]:
        if self._bytes is not None:
            for at in range(offset, self.size, _CHUNK):
                yield self._bytes[at : at + _CHUNK]
            return
        assert self._file is not None
        self._file.seek(self._start + offset)
        left = self.size - offset
        while left > 0:
            part = self._file.read(min(_CHUNK, left))
            if not part:
                return
            left -= len(part)
            yield part

    def digest(self) -> bytes:
        h, n = hashlib.sha256(), 0
        for part in self.parts(0):
            h.update(part)
            n += len(part)
        if n != self.size:
            raise UsageError(f"the file has {n} bytes, expected {self.size}", nothing_sent=True)
        return h.digest()

    def close(self) -> None:
        if self._owned and self._file is not None:
            self._file.close()
        if self._folder is not None:
            self._folder.cleanup()


def _document(out: bytes) -> Dict[str, Any]:
    try:
        said = json.loads(out)
    except ValueError:
        said = None
    return said if isinstance(said, dict) else {}


def name_of(file: str) -> str:
    """A model's name from its file's."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", os.path.splitext(file)[0]).strip("-._")


class Upload:
    """One model on its way."""

    def __init__(
        self,
        way: Way,
        source: Source,
        timeout: Optional[float],
        report: Callable[[int, int], None],
        with_receipt: bool = False,
    ) -> None:
        self._way, self._source, self._timeout, self._report = way, source, timeout, report
        self._with_receipt = with_receipt
        self.receipt: Union[Receipt, ReceiptError, None] = None
        self._digest = b""
        self._path = ""
        self._offset = 0

    async def run(self, parameters: Dict[str, str]) -> Dict[str, Any]:
        """Uploads it, and returns what the box says about the model that it has now."""
        self._digest = await self._way.work(self._source.digest)
        await self._begin(parameters)
        try:
            model = await self._send()
        except BaseException as e:
            if isinstance(e, BlindBoxError):
                e.nothing_sent = False  # the model's name and digest were announced, at least
            if not isinstance(e, AttestationError):
                await self._abandon()
            raise
        expected = "sha256:" + self._digest.hex()
        if model.get("id") != expected:
            raise BlindBoxError(
                "the box has another model than was sent: do not use it", seen=str(model.get("id")), expected=expected
            )
        return model

    async def _abandon(self) -> None:
        """Has the box forget a part that nobody goes on with, which it would keep for minutes and
        count against the caller. If that fails it does so after all."""
        if self._way.sidecar.running:  # to verify the box once more would take longer than it is worth
            try:
                reply = await self._way.send("DELETE", self._path, timeout=_PATIENCE)
                await reply.json()
            except BlindBoxError:
                pass

    async def _begin(self, parameters: Dict[str, str]) -> None:
        reply, _ = await self._ask(
            "POST",
            query("/v2/repository/uploads", parameters),
            {
                "Upload-Complete": "?0",
                "Upload-Length": str(self._source.size),
                "Repr-Digest": f"sha-256=:{base64.b64encode(self._digest).decode()}:",
            },
        )
        place = reply.headers.get("Location", "")
        if not re.fullmatch(r"(http://[^/]+)?/v2/repository/uploads/[A-Za-z0-9_.~-]+", place):
            raise BlindBoxError("the box gives no place for an upload", seen=place[:200])
        self._path = place[place.index("/v2/") :]

    async def _send(self) -> Dict[str, Any]:
        furthest, failed = self._offset, 0
        while True:
            try:
                return await self._part()
            except AttestationError:
                raise
            except (BoxError, ConnectionLost, Timeout, Unavailable) as e:
                failed += 1
                if not _goes_on(e) or failed == _TRIES:
                    raise
                await self._way.pause(_wait(failed, e))
                cause = e
            try:
                await self._locate()
            except NotFound as gone:
                raise _ended_by(cause, gone) from None
            if self._offset > furthest:  # a box that goes back and forth makes no progress
                furthest, failed = self._offset, 0

    async def _part(self) -> Dict[str, Any]:
        asking = Asking("PATCH", self._path) if self._with_receipt else None
        _, model = await self._ask(
            "PATCH",
            self._path,
            {
                "Content-Type": _PARTIAL,
                "Upload-Offset": str(self._offset),
                "Upload-Complete": "?1",
            },
            self._told(),
            self._source.size - self._offset,
            asking,
        )
        if not isinstance(model, dict):
            raise BlindBoxError("the box's answer to an upload cannot be read")
        return model

    def _told(self) -> Iterator[Buffer]:
        sent = self._offset
        for part in self._source.parts(self._offset):
            yield part
            sent += len(part)
            self._report(sent, self._source.size)

    async def _locate(self) -> None:
        """Learns how far the box has come."""
        try:
            reply, _ = await self._ask("HEAD", self._path, {})
        except BoxError as e:
            if not _goes_on(e):
                raise
            return
        except (ConnectionLost, Timeout, Unavailable):
            return
        said = reply.headers.get("Upload-Offset", "")
        if not is_size(said) or int(said) > self._source.size:
            raise BlindBoxError("the box does not say how much it has", seen=said[:40])
        self._offset = int(said)

    async def _ask(
        self,
        method: str,
        path: str,
        headers: Dict[str, str],
        body: Optional[Iterator[Buffer]] = None,
        length: Optional[int] = None,
        asking: Optional[Asking] = None,
    ) -> Tuple[Reply, Any]:
        if asking is not None:
            headers, body = {**headers, **asking.headers}, asking.watched(body or ())
        reply = await self._way.send(method, path, headers, body, length, self._timeout)
        if asking is not None:
            data = await reply.whole(_MOST_SAID)
            self.receipt = await asking.receipt(self._way, reply, data, None, _PARTIAL, self._timeout)
            reply = Read(reply.status, reply.headers, data)
        said = await reply.json()
        if not 200 <= reply.status <= 299:
            got = None if asking is None else self.receipt
            raise of_box(reply.status, said, reply.headers.get("Retry-After"), receipt=got)
        return reply, said


def _ended_by(cause: BlindBoxError, gone: NotFound) -> BlindBoxError:
    """Says why an upload is not there any more: in the words of the conflict that ended it, if
    there was one; an answer to HEAD has none."""
    if isinstance(cause, Conflict):
        return cause
    return NotFound(
        "the upload is not there any more: it has ended, or the box was started anew",
        status=gone.status,
        fix="Send the file again, which makes no second version of one that is there.",
    )


def _goes_on(e: BlindBoxError) -> bool:
    """Says that the upload may still be there after this."""
    if isinstance(e, InvalidRequest):
        return e.message.startswith("the body ended early")
    return (
        isinstance(e, (Busy, Conflict, ConnectionLost, Timeout, Unavailable))
        or isinstance(e, BoxError)
        and e.status == 502
    )


def _wait(failed: int, e: BlindBoxError) -> float:
    seconds = 0.1 * 2.0**failed
    if isinstance(e, Busy):
        seconds = max(seconds, e.retry_after)
    return min(seconds, _LONGEST_WAIT)


def reporter(progress: Progress, what: str) -> Callable[[int, int], None]:
    """What is told of progress: the caller's function, a bar on a terminal, or nothing."""
    if callable(progress):
        return progress
    if progress is False or (progress is None and not sys.stderr.isatty()):
        return lambda sent, total: None
    return Bar(what).show


class Bar:
    """One line on standard error, written at most ten times a second."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._began = time.monotonic()
        self._last = 0.0
        self._width = 0

    def show(self, sent: int, total: int) -> None:
        now = time.monotonic()
        if sent < total and now - self._last < 0.1:
            return
        self._last = now
        rate = sent / max(now - self._began, 1e-3)
        line = f"{self._what}  {100 * sent // max(total, 1):3d} %  {_size(sent)} of {_size(total)}  {_size(rate)}/s"
        end = "\n" if sent >= total else ""
        sys.stderr.write("\r" + line.ljust(self._width) + end)
        sys.stderr.flush()
        self._width = len(line)


def _size(n: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if n < 1024:
            return f"{n:.0f} B" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1024
    return f"{n:.1f} GiB"
