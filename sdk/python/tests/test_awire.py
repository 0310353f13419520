"""The wire of the asynchronous client, over answers that are written here byte by byte."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any, Awaitable, Callable, List, Optional

import pytest

import blindbox
from blindbox._awire import AsyncAnswer, AsyncWire
from blindbox._calls import Calls
from blindbox.receipts import Asking

OK = b"HTTP/1.1 200 OK\r\n"


class Sidecar:
    """A sidecar that gives each connection the same answer, and ends it there."""

    token = "secret"

    def __init__(self, said: bytes, ends: bool = True) -> None:
        self._said, self._ends = said, ends
        self.others: List[socket.socket] = []

    def dial(self, timeout: Optional[float]) -> socket.socket:
        mine, other = socket.socketpair()
        self.others.append(other)
        self._speaking = threading.Thread(target=self._speak, args=(other,))
        self._speaking.start()
        return mine

    def _speak(self, other: socket.socket) -> None:
        try:
            other.sendall(self._said)
            if self._ends:
                other.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # nobody listens any longer

    def heard(self) -> bytes:
        self._speaking.join()
        try:
            return b"".join(other.recv(1 << 20) for other in self.others)
        except ConnectionResetError:
            return b""  # it was closed before it had read all of the answer


def told(said: bytes, ask: Callable[[AsyncAnswer], Awaitable[Any]], ends: bool = True, **more: Any) -> Any:
    """What a reader makes of an answer."""
    sidecar = Sidecar(said, ends)

    async def story() -> Any:
        wire = AsyncWire(sidecar)  # type: ignore[arg-type]
        answer = None
        try:
            answer = await wire.send(more.pop("method", "GET"), "/x", **more)
            return await ask(answer)
        finally:
            if answer is not None:
                answer.close()
            told.kept = len(wire._idle)  # type: ignore[attr-defined]
            wire.hang_up()

    try:
        return asyncio.run(story())
    finally:
        told.heard = sidecar.heard()  # type: ignore[attr-defined]
        for other in sidecar.others:
            other.close()
    

def kept() -> int:
    """How many connections are there for the next request."""
    return int(told.kept)  # type: ignore[attr-defined]


async def whole(answer: AsyncAnswer) -> bytes:
    return await answer.whole()


async def three(answer: AsyncAnswer) -> bytes:
    room = bytearray(3)
    await answer.readinto(room)
    return bytes(room)


CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "said, body, again",
    [
        (OK + b"Content-Length: 3\r\n\r\nabc", b"abc", 1),
        (OK + b"Content-Length: 0\r\n\r\n", b"", 1),
        (OK + b"Connection: close\r\n\r\nabc", b"abc", 0),
        (OK + b"Connection: close\r\nContent-Length: 3\r\n\r\nabc", b"abc", 0),
        (CHUNKED + b"2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n", b"abc", 1),
        (CHUNKED + b"0\r\nBlindbox-Receipt: x\r\nB: y\r\n\r\n", b"", 1),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"", 1),
    ],
)
def test_answers(said: bytes, body: bytes, again: int) -> None:
    assert told(said, whole) == body and kept() == again
    if len(body) == 3:
        assert told(said, three) == body
    assert told.heard.startswith(b"GET /x HTTP/1.1\r\nHost: localhost\r\n")  # type: ignore[attr-defined]
    assert b"Proxy-Authorization: Bearer secret\r\n" in told.heard  # type: ignore[attr-defined]


def test_head() -> None:
    assert told(OK + b"Content-Length: 3\r\n\r\n", whole, method="HEAD") == b"" and kept() == 1


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1",
        b"nothing of the kind\r\n\r\n",
        OK + b"Content-Length: 4\r\n\r\nabc",
        CHUNKED,
        CHUNKED + b"9\r\nab",
        CHUNKED + b"x\r\nab\r\n0\r\n\r\n",
        CHUNKED + b"-1\r\nab\r\n0\r\n\r\n",
        CHUNKED + b"2\r\nab\r\n",
        CHUNKED + b"2\r\nab\r\n0\r\nA: b",
        OK + b"X: " + bytes(2 << 20),
    ],
)
def test_answers_that_break_off(said: bytes) -> None:
    with pytest.raises(blindbox.ConnectionLost) as lost:
        told(said, whole)
    assert not lost.value.nothing_sent and kept() == 0


def test_less_than_the_room() -> None:
    for said in (OK + b"Content-Length: 2\r\n\r\nab", CHUNKED + b"2\r\nab\r\n0\r\n\r\n", OK + b"\r\nab"):
        with pytest.raises(blindbox.ConnectionLost, match="ended early"):
            told(said, three)


@pytest.mark.parametrize("said", [b"", OK, OK + b"Content-Length: 3\r\n\r\na", CHUNKED + b"9\r\na"])
def test_silence(said: bytes) -> None:
    with pytest.raises(blindbox.Timeout):
        told(said, whole, ends=False, timeout=0.05)
    assert kept() == 0


def test_too_large() -> None:
    for said in (OK + b"Content-Length: 9\r\n\r\n", CHUNKED + b"5\r\nabcde\r\n0\r\n\r\n", OK + b"\r\nabcde"):
        with pytest.raises(blindbox.AnswerTooLarge):
            told(said, lambda answer: answer.whole(4))


def test_bodies() -> None:
    async def parts() -> Any:
        yield b"ab"
        yield b"c"

    fine = OK + b"Content-Length: 0\r\n\r\n"
    for body, length, sent in (
        ([b"abc"], 3, b"Content-Length: 3\r\n\r\nabc"),
        (parts(), 3, b"Content-Length: 3\r\n\r\nabc"),
        (parts(), None, b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"),
        (None, None, b"Content-Length: 0\r\n\r\n"),
    ):
        told(fine, whole, method="POST", body=body, length=length)
        assert told.heard.endswith(sent)  # type: ignore[attr-defined]
    for size in (2, 4):
        with pytest.raises(blindbox.UsageError, match="announced"):
            told(fine, whole, method="POST", body=[b"abc"], length=size)

    async def broken() -> Any:
        yield b"a"
        raise OSError("the caller's own disk")

    with pytest.raises(OSError, match="own disk"):
        told(fine, whole, method="POST", body=broken())
    with pytest.raises(ValueError):
        told(fine, whole, headers={"X": "a\r\nY: b"})


def test_errors_of_the_sidecar() -> None:
    body = b'{"title":"box: refused","code":"BBX-221","nothing_sent":true,"seen":"a"}'
    said = b"HTTP/1.1 502 Bad Gateway\r\nBlindbox-Proxy-Error: BBX-221\r\nContent-Length: %d\r\n\r\n" % len(body)
    with pytest.raises(blindbox.AttestationError) as refused:
        told(said + body, whole)
    assert refused.value.nothing_sent and refused.value.seen == "a"


@pytest.mark.parametrize("made", ["", "\xe9", "\xb2", "a/b", "a" * 129])
def test_no_id_of_a_receipt(made: str) -> None:
    """The call was answered: an odd name for its receipt loses the receipt alone."""
    said = OK + b"Blindbox-Receipt-Id: %s\r\nContent-Length: 0\r\n\r\n" % made.encode("latin-1")

    async def receipt(answer: AsyncAnswer) -> Any:
        return await Asking("GET", "/x").receipt(answer._wire, answer, await answer.whole(), None, None, 5)

    got = told(said, receipt)
    assert isinstance(got, blindbox.ReceiptError) and "gave no receipt" in str(got)


class Refusing:
    """A way on which nothing is sent."""

    async def send(self, *args: Any, **more: Any) -> Any:
        raise blindbox.AttestationError("refused", code="BBX-221", seen="another key", nothing_sent=True)


def test_receipt_that_is_not_fetched() -> None:
    """That nothing was sent is true of what asked for the receipt, and not of the call."""

    async def receipt(answer: AsyncAnswer) -> Any:
        way: Any = Refusing()
        return await Asking("GET", "/x").receipt(way, answer, await answer.whole(), None, None, 5)

    got = told(OK + b"Blindbox-Receipt-Id: a1\r\nContent-Length: 0\r\n\r\n", receipt)
    assert isinstance(got, blindbox.ReceiptError) and not got.nothing_sent
    assert "nothing was sent" not in str(got) and got.seen == "BBX-221: refused: another key"


@pytest.mark.parametrize("said", [b'{"models":5}', b'{"models":{"a":1}}', b'{"versions":7}'])
def test_lists_that_are_none(said: bytes) -> None:
    async def ask(answer: AsyncAnswer) -> Any:
        calls = Calls(answer._wire, 5)
        return await (calls.describe_model("m", None, 5) if b"versions" in said else calls.list_models(5))

    head = OK + b"Content-Length: %d\r\n\r\n" % len(said)
    with pytest.raises(blindbox.BlindBoxError, match="cannot be read"):
        told(head + said, ask)
