"""What a box has signed about one call: asked for, kept, and verified without a connection.

docs/receipts.md says what is in one. The signature and whose it is are verified by the
program ``blindbox``, as everything else is.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import os
import re
import secrets
import subprocess
import tempfile
import warnings
from dataclasses import dataclass, field
from email.message import Message
from typing import Any, Dict, Iterable, Iterator, Mapping, Optional, Tuple, TypeVar, Union

from . import _binary
from ._way import Reply, Way
from ._wire import Buffer, parsed
from .errors import BlindBoxError, ReceiptError, SidecarError, SimulationModeWarning, UsageError, of_tool

HEADER = "Blindbox-Receipt"
ID = "Blindbox-Receipt-Id"

_RESERVED = "/.well-known/blindbox/receipts/"
_MOST_TOKEN = 64 << 10
_MOST_BUNDLE = 4 << 20

Path = Union[str, "os.PathLike[str]"]
T = TypeVar("T")


@dataclass(frozen=True)
class Receipt:
    """A receipt, the evidence for the key that signed it, and the bodies that it is about.

    Attributes:
        token: the receipt as the box signed it. claims: what it says.
        bundle: the evidence.
        request, response: the bodies; None where they were not kept (an upload's file).
        head: the request's method and target; None if it was loaded.
    """

    token: str
    bundle: bytes = field(repr=False)
    request: Optional[bytes] = field(default=None, repr=False)
    response: Optional[bytes] = field(default=None, repr=False)
    head: Optional[str] = None
    content_type: Optional[str] = field(default=None, repr=False)

    @property
    def claims(self) -> Mapping[str, Any]:
        return claims_of(self.token)

    def save(self, path: Path, *, overwrite: bool = False) -> None:
        """Writes it as ``blindbox model run --receipt`` does: path is what ``blindbox receipt
        verify`` takes; the evidence is beside it in path.bundle, the bodies in path.request
        and path.response, which only this user can read.

        If one of these files is there already nothing is written, and it raises
        FileExistsError, unless overwrite is true: it may be the only copy of another receipt."""
        name = os.fspath(path)
        files = {
            name: (self.token.encode() + b"\n", 0o644),
            name + ".bundle": (self.bundle, 0o644),
            name + ".request": (self.request, 0o600),
            name + ".response": (self.response, 0o600),
        }
        for file in files if not overwrite else ():
            if os.path.lexists(file):
                raise FileExistsError(errno.EEXIST, "nothing was written: give a new name, or overwrite=True", file)
        for file, (data, mode) in files.items():
            if data:
                _write(file, data, mode, overwrite)
            elif os.path.lexists(file):
                os.unlink(file)  # another receipt's

    @classmethod
    def load(cls, path: Path) -> "Receipt":
        """Reads what ``save`` or the command wrote."""
        name = os.fspath(path)
        with open(name, encoding="ascii") as f:
            token = f.read(_MOST_TOKEN).strip()
        bodies = []
        for end in (".bundle", ".request", ".response"):
            try:
                with open(name + end, "rb") as b:
                    bodies.append(b.read())
            except FileNotFoundError:
                bodies.append(b"")
        return cls(token, bodies[0], bodies[1] or None, bodies[2] or None)

    def verify(
        self, trust: Optional[Path] = None, *, at: Optional[str] = None, binary: Optional[str] = None
    ) -> Mapping[str, Any]:
        """Verifies the signature, the evidence for its key, that the trust file accepts the box,
        and that it is about these bodies. It needs no connection, and returns the verdict, the ``result`` of
        ``blindbox receipt verify -o json``, or raises.

        at is the time for which it is verified, such as "2026-11-22".
        """
        with tempfile.TemporaryDirectory(prefix="blindbox-") as folder:
            file = os.path.join(folder, "receipt")
            self.save(file)
            command = [_binary.find(binary), "receipt", "verify", "-o", "json", *self._arguments(file)]
            for flag, value in (("--trust", trust), ("--at", at)):
                if value is not None:
                    command += [flag, os.fspath(value)]
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        document = parsed(done.stdout)
        if not isinstance(document, dict):
            raise SidecarError("the program said nothing that can be read", seen=done.stderr.decode("utf-8", "replace"))
        if done.returncode != 0:
            error = of_tool(document)
            error.nothing_sent = False  # which is not what this is about
            raise error
        result = document.get("result")
        if not isinstance(result, dict) or result.get("simulated") is not False:
            warnings.warn("the receipt is of a SIMULATED box: it proves nothing", SimulationModeWarning, stacklevel=2)
        return result if isinstance(result, dict) else {}

    def _arguments(self, file: str) -> Tuple[str, ...]:
        args = ["--bundle", file + ".bundle"] if self.bundle else []
        for flag, data in (("request", self.request), ("response", self.response)):
            if data:
                args += ["--" + flag, f"{file}.{flag}"]
        if self.head:
            args += ["--head", self.head]
            if self.content_type:
                args += ["--header", "Content-Type: " + self.content_type]
        return (*args, file)


def claims_of(token: str) -> Dict[str, Any]:
    """What a receipt says, whoever has signed it."""
    parts = token.split(".")
    try:
        payload = parts[1] + "=" * (-len(parts[1]) % 4)
        claims = json.loads(base64.urlsafe_b64decode(payload)) if len(parts) == 3 else None
    except (ValueError, IndexError, RecursionError):
        claims = None
    if not isinstance(claims, dict):
        raise UsageError("the receipt cannot be read", expected="HEADER.PAYLOAD.SIGNATURE, base64url each")
    return claims


def _write(name: str, data: bytes, mode: int, overwrite: bool) -> None:
    """Writes a file where there is none, or a whole one in the place of what is there."""
    fresh = f"{name}.{secrets.token_hex(4)}" if overwrite else name
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as f:
        f.write(data)
    if overwrite:
        os.replace(fresh, name)


class Asking:
    """A request that asks for a receipt, with a nonce that nobody used before."""

    def __init__(self, method: str, path: str) -> None:
        self.nonce = secrets.token_hex(16)
        self.headers = {HEADER: self.nonce}
        self._head = f"{method} {path}"
        self._sent = hashlib.sha256()

    def watched(self, parts: Iterable[Buffer]) -> Iterator[Buffer]:
        """The parts of a body, which are digested as they go."""
        for part in parts:
            self._sent.update(part)
            yield part

    async def receipt(
        self, way: Way, reply: Reply, response: bytes, request: Optional[bytes], kind: Optional[str], limit: Any
    ) -> "Union[Receipt, ReceiptError]":
        """The receipt for an answer that was read to its end, or why there is none."""
        try:
            made = reply.headers.get(ID, "")
            if not re.fullmatch(r"[A-Za-z0-9_-]{1,128}", made):
                raise ReceiptError("the box gave no receipt", seen=f"{reply.status} with {ID} {made[:40]!r}")
            token = (await _fetched(way, made, _MOST_TOKEN, limit)).decode("ascii", "replace").strip()
            self._is_about_this(claims_of(token), response)
            bundle = await _fetched(way, "evidence", _MOST_BUNDLE, limit)
        except ReceiptError as e:
            return e
        except BlindBoxError as e:
            # Not all of e: that nothing was sent holds of what asked for the receipt alone.
            why = ": ".join(part for part in (e.code, e.title or type(e).__name__, e.seen) if part)
            error = ReceiptError("the call was answered, and its receipt did not come", seen=why)
            error.__cause__ = e
            return error
        return Receipt(token, bundle, request, response, self._head, kind)

    def _is_about_this(self, claims: Mapping[str, Any], response: bytes) -> None:
        sent, got = claims.get("request"), claims.get("response")
        for what, seen, expected in (
            ("nonce", claims.get("nonce"), self.nonce),
            ("request", _body(sent), "sha256:" + self._sent.hexdigest()),
            ("answer", _body(got), "sha256:" + hashlib.sha256(response).hexdigest()),
        ):
            if seen != expected:
                raise ReceiptError(f"the receipt is about another {what}", seen=str(seen), expected=expected)


def _body(message: Any) -> Any:
    return message.get("body") if isinstance(message, dict) else None


async def _fetched(way: Way, name: str, most: int, limit: Any) -> bytes:
    reply = await way.send("GET", _RESERVED + name, timeout=limit)
    data = await reply.whole(most)
    if reply.status != 200:
        raise ReceiptError(f"the box answers {reply.status} for {name}", seen=data[:200].decode("utf-8", "replace"))
    return data


class Read(Reply):
    """An answer that was read."""

    def __init__(self, status: int, headers: Message, data: bytes) -> None:
        self.status, self.headers = status, headers
        self._data, self._left = data, memoryview(data)

    async def whole(self, most: Optional[int] = None) -> bytes:
        return self._data

    async def readinto(self, room: Union[bytearray, memoryview]) -> None:
        if len(room) > len(self._left):
            raise ValueError("the answer ended early")
        room[:], self._left = self._left[: len(room)], self._left[len(room) :]

    async def json(self) -> Any:
        return parsed(self._data)

    def close(self) -> None:
        pass


def with_receipt(answer: T, got: Union[Receipt, ReceiptError, None]) -> T:
    """The answer, unless its receipt is missing."""
    if isinstance(got, ReceiptError):
        got.answer = answer
        raise got
    return answer
