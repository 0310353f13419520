"""Uploads: cut, refused and answered wrongly, by a box that is played."""

from __future__ import annotations

import hashlib
import io
import json
import sys
from email.message import Message
from typing import Any, Callable, Dict, List, Optional

import pytest

import blindbox
from blindbox import _infer, _upload
from blindbox._upload import Source, Upload, name_of, reporter
from blindbox._way import Blocking, Blocked, finished

FILE = bytes(range(256)) * 10_000  # three parts
ID = "sha256:" + hashlib.sha256(FILE).hexdigest()


class Answer:
    def __init__(self, status: int, body: Any = None, **headers: str) -> None:
        self.status, self.body = status, body
        self.headers = Message()
        for name, value in headers.items():
            self.headers[name.replace("_", "-")] = value

    def json(self) -> Any:
        return self.body

    def close(self) -> None:
        pass


class Running:
    """A sidecar that is there."""

    running = True


class Played:
    """A box that takes uploads; cuts are how many bytes of each part arrive."""

    def __init__(self, cuts: Any = (), error: Optional[Callable[[], BaseException]] = None) -> None:
        self.cuts = list(cuts)
        self.error = error or (lambda: blindbox.ConnectionLost("cut"))
        self.data = bytearray()
        self.asked: List[str] = []
        self.place = "http://localhost/v2/repository/uploads/u1"
        self.said: Dict[str, Any] = {"id": ID, "name": "m", "version": "1"}
        self.sidecar = Running()

    def send(
        self, method: str, path: str, headers: Any = (), body: Any = None, length: Any = None, timeout: Any = None
    ) -> Any:
        self.asked.append(method)
        if method == "POST":
            assert headers["Upload-Length"] == str(len(FILE)) and headers["Repr-Digest"].startswith("sha-256=:")
            return Answer(204, Location=self.place)
        assert path == "/v2/repository/uploads/u1"
        if method == "DELETE":
            assert timeout and timeout < 10
            self.data.clear()
            return Answer(204)
        if method == "HEAD":
            return Answer(204, Upload_Offset=str(len(self.data)))
        assert int(headers["Upload-Offset"]) == len(self.data) and length == len(FILE) - len(self.data)
        whole = b"".join(body)
        if self.cuts:
            self.data += whole[: self.cuts.pop(0)]
            raise self.error()
        self.data += whole
        return Answer(201, self.said)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> List[float]:
    slept: List[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    return slept


def upload(box: Played, told: Optional[List[int]] = None) -> Dict[str, Any]:
    report = (lambda sent, total: told.append(sent)) if told is not None else (lambda sent, total: None)
    return finished(Upload(Blocking(box), Source(FILE), None, report).run({"name": "m"}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "error",
    [
        lambda: blindbox.ConnectionLost("cut"),
        lambda: blindbox.Timeout("late"),
        lambda: blindbox.Busy("full", status=503, retry_after=3),
        lambda: blindbox.InvalidRequest("the body ended early; 3 bytes are kept", status=400),
        lambda: blindbox.Conflict("at another byte", status=409),
    ],
)
def test_goes_on(error: Any, hurry: List[float]) -> None:
    box = Played([100, 0, 0, 0, 1_500_000, 5], error)
    told: List[int] = []
    assert upload(box, told)["id"] == ID
    assert bytes(box.data) == FILE and box.asked.count("HEAD") == 6 and told[-1] == len(FILE)
    assert isinstance(error(), blindbox.Busy) == (min(hurry) >= 3)


def test_gives_up() -> None:
    box = Played([0] * 20)
    with pytest.raises(blindbox.ConnectionLost):
        upload(box)
    assert box.asked.count("PATCH") == 5 and box.asked[-1] == "DELETE"


@pytest.mark.parametrize(
    "error",
    [
        lambda: blindbox.AttestationError("refused", nothing_sent=True),
        lambda: blindbox.QuotaExceeded("full", status=507),
        lambda: blindbox.ModelRefused("no model", status=422),
        lambda: blindbox.InvalidRequest("another digest", status=400),
    ],
)
def test_ends_at_a_refusal(error: Any) -> None:
    box = Played([0], error)
    with pytest.raises(type(error())):
        upload(box)
    # Nothing more is said to a box that was refused.
    gone = [] if isinstance(error(), blindbox.AttestationError) else ["DELETE"]
    assert box.asked == ["POST", "PATCH", *gone]


@pytest.mark.parametrize(
    "error, says",
    [
        (lambda: blindbox.Conflict("another model under this version", status=409), "another model"),
        (lambda: blindbox.ConnectionLost("cut"), "the upload is not there any more"),
    ],
)
def test_ended_upload(error: Any, says: str) -> None:
    """An upload that is not there any more is told in the words of what ended it."""

    class Forgets(Played):
        def send(self, method: str, *more: Any, **named: Any) -> Any:
            return Answer(404) if method == "HEAD" else super().send(method, *more, **named)

    with pytest.raises(blindbox.BoxError, match=says):
        upload(Forgets([0], error))


def test_part_of_it_was_sent() -> None:
    """A box that is refused later has got a part, whatever is true of the last request."""
    kinds = iter([blindbox.ConnectionLost("cut"), blindbox.AttestationError("refused", nothing_sent=True)])
    box = Played([100, 0], lambda: next(kinds))
    with pytest.raises(blindbox.AttestationError) as refused:
        upload(box)
    assert not refused.value.nothing_sent and "nothing was sent" not in str(refused.value)


def test_it_was_announced() -> None:
    """A box that is refused before the file's first byte has got the model's name and digest."""

    class Refused(Played):
        def send(self, method: str, path: str, *args: Any, **more: Any) -> Any:
            if method == "PATCH":
                raise blindbox.AttestationError("refused", nothing_sent=True)
            return super().send(method, path, *args, **more)

    with pytest.raises(blindbox.AttestationError) as refused:
        upload(Refused())
    assert not refused.value.nothing_sent and "nothing was sent" not in str(refused.value)


def test_receipt_of_another_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal has the receipt for itself, and not that of a part before it."""

    async def receipt(*args: Any) -> Any:
        return "of the part"

    monkeypatch.setattr("blindbox._upload.Asking.receipt", receipt)

    class Gone(Played):
        def send(self, method: str, path: str, *args: Any, **more: Any) -> Any:
            answer: Any = Answer({"PATCH": 503, "HEAD": 404}.get(method, 204), Location=self.place)
            answer.whole = lambda most: b""
            return answer

    way: Any = Blocking(Gone())  # type: ignore[arg-type]
    with pytest.raises(blindbox.NotFound) as refused:
        finished(Upload(way, Source(FILE), None, lambda sent, total: None, True).run({"name": "m"}))
    assert refused.value.receipt is None


def test_answers_that_are_none() -> None:
    for place in (
        "",
        "https://evil.example/v2/repository/uploads/u1",
        "/v2/models",
        "/v2/repository/uploads/../x",
        "/v2/repository/uploads/u?x",
    ):
        box = Played()
        box.place = place
        with pytest.raises(blindbox.BlindBoxError, match="no place for an upload"):
            upload(box)
    box = Played()
    box.said["id"] = "sha256:00"
    with pytest.raises(blindbox.BlindBoxError, match="do not use it"):
        upload(box)
    box.said = []  # type: ignore[assignment]
    box.data.clear()
    with pytest.raises(blindbox.BlindBoxError, match="cannot be read"):
        upload(box)


def test_sources() -> None:
    with pytest.raises(blindbox.UsageError, match="has 3 bytes"):
        source = Source(io.BytesIO(b"abc"))
        source.size = 9
        source.digest()
    assert [name_of(n) for n in ("x.onnx", "a b/c.onnx", ".x", "--é--")] == ["x", "a-b-c", "x", ""]
    assert b"".join(Source(FILE).parts(999_999)) == FILE[999_999:] == b"".join(Source(io.BytesIO(FILE)).parts(999_999))


def test_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    monkeypatch.setattr(sys, "stderr", out)
    show = reporter(None, "xray")
    for sent in range(0, 3 << 20, 1 << 16):
        show(sent, 3 << 20)
    show(3 << 20, 3 << 20)
    lines = out.getvalue().split("\r")
    assert (
        lines[1].startswith("xray    0 %  0 B of 3.0 MiB")
        and lines[-1].startswith("xray  100 %  3.0 MiB of 3.0 MiB")
        and lines[-1].endswith("\n")
    )
    assert len(lines) < 10, "not at every part"
    nowhere = io.StringIO()
    monkeypatch.setattr(sys, "stderr", nowhere)
    for progress in (None, False):
        reporter(progress, "xray")(1, 1)
    assert nowhere.getvalue() == ""
    assert reporter(True, "x").__qualname__ == "Bar.show" and _upload._size(5 << 30) == "5.0 GiB"


class Body(Answer):
    """An answer to a run."""

    def __init__(self, head: Any, rest: bytes = b"", length: Optional[str] = None) -> None:
        text = head if isinstance(head, bytes) else json.dumps(head).encode()
        super().__init__(
            200, None, **{_infer.HEAD_LENGTH: length or str(len(text)), "Content-Length": str(len(text + rest))}
        )
        self.rest = text + rest

    def readinto(self, room: bytearray) -> None:
        if len(room) > len(self.rest):
            raise blindbox.ConnectionLost("the answer ended early")
        room[:], self.rest = self.rest[: len(room)], self.rest[len(room) :]


def output(**more: Any) -> Any:
    return {"outputs": [{"name": "y", "datatype": "FP32", "shape": [2], "parameters": {"binary_data_size": 8}, **more}]}


def answered(answer: Any) -> List[blindbox.Tensor]:
    return finished(_infer.answered(Blocked(answer)))


def test_answers_to_a_run() -> None:
    (t,) = answered(Body(output(), bytes(8)))
    assert t.as_flat() == [0.0, 0.0] and t.name == "y"
    (t,) = answered(Body(output(data=[1, 2])))
    assert t.as_flat() == [1.0, 2.0]
    plain = Answer(200, {"outputs": [{"name": "y", "datatype": "BOOL", "shape": [1, 1], "data": [True]}]})
    assert answered(plain)[0].as_numpy().tolist() == [[True]]
    for bad in (
        Body(output(), b"short"),
        Body(output(shape=[3]), bytes(8)),
        Body(output(shape=[-1]), bytes(8)),
        Body(output(shape="2"), bytes(8)),
        Body(output(parameters={"binary_data_size": -8})),
        Body(output(parameters=3)),
        Body(output(datatype="FP99")),
        Body({"outputs": 3}),
        Body([]),
        Body(b"{"),
        Body({}, length="x"),
        Body({}, length=str(1 << 40)),
        Body(output(datatype="BYTES", parameters={"binary_data_size": 1 << 60}), bytes(8)),
        Body(output(shape=[1 << 40], parameters={"binary_data_size": 1 << 42}), bytes(8)),
        Answer(200, None),
    ):
        with pytest.raises(blindbox.BlindBoxError):
            answered(bad)
