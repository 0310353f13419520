"""blindbox.requests against a program in a box."""

from __future__ import annotations

import hashlib
import io
import json
import pathlib
from typing import Any, Dict, Iterator

import pytest
from conftest import Box

import blindbox
from blindbox import requests


@pytest.fixture
def session(app: Box) -> Iterator[requests.Session]:
    with requests.Session(app.trust) as s:
        yield s


def echo(r: requests.Response) -> Dict[str, Any]:
    assert r.status_code == 200 and r.ok and r, r
    return dict(r.json())


def test_methods(app: Box, session: requests.Session) -> None:
    for method in ("get", "post", "put", "patch", "delete", "options"):
        said = echo(getattr(session, method)(app.url + "/echo/a%20b?x=1"))
        assert (said["method"], said["path"]) == (method.upper(), "/echo/a%20b?x=1")
    r = session.head(app.url + "/echo")
    assert r.status_code == 200 and r.content == b"" and int(r.headers["Content-Length"]) > 0
    assert len(session._wires) == 1


def test_without_a_session(app: Box) -> None:
    try:
        assert echo(requests.get(app.url, trust=app.trust))["path"] == "/"
        assert echo(requests.post(app.url, {"a": 1}, trust=app.trust))["body"] == "a=1"
        assert echo(requests.post(app.url, json={"a": 1}, trust=app.trust))["body"] == '{"a": 1}'
        for method in ("put", "patch", "delete", "options"):
            assert echo(getattr(requests, method)(app.url, trust=app.trust))["method"] == method.upper()
        assert requests.head(app.url, trust=app.trust).ok and requests.request("get", app.url, trust=app.trust).ok
    finally:
        requests.close()


def test_what_is_sent(app: Box, session: requests.Session, tmp_path: pathlib.Path) -> None:
    session.params["s"] = "1"
    session.headers["X-Session"] = "yes"
    said = echo(session.get(app.url + "/echo?a=b", params={"c": ["d", "é"], "none": None}, headers={"X-Mine": "1"}))
    assert said["path"] == "/echo?a=b&s=1&c=d&c=%C3%A9"
    assert (
        said["headers"]["x-session"] == "yes"
        and said["headers"]["x-mine"] == "1"
        and said["headers"]["user-agent"] == "blindbox-python"
    )
    assert app.url.endswith(said["headers"]["host"]) and "accept-encoding" in said["headers"]
    session.params.clear()
    assert echo(session.get(app.url, params="x=y"))["path"] == "/?x=y"
    assert echo(session.get(app.url, params=[("x", 1), ("x", 2)]))["path"] == "/?x=1&x=2"
    said = echo(session.post(app.url, data={"a": "b c", "d": [1, 2]}))
    assert said["body"] == "a=b+c&d=1&d=2" and said["headers"]["content-type"] == "application/x-www-form-urlencoded"
    said = echo(session.post(app.url, json=["é"], auth=("user", "pass")))
    assert json.loads(said["body"]) == ["é"] and said["headers"]["content-type"] == "application/json"
    assert said["headers"]["authorization"] == "Basic dXNlcjpwYXNz"
    assert echo(session.post(app.url, data="é"))["body"].encode("latin-1") == "é".encode()
    assert session.put(app.url, data=bytes(20 << 20)).status_code == 413, "said before all of it was sent"
    big = bytes(range(256)) * 4_000
    (tmp_path / "big").write_bytes(big)
    want = hashlib.sha256(big).hexdigest()
    with open(tmp_path / "big", "rb") as f:
        for data in (
            big,
            bytearray(big),
            memoryview(big),
            f,
            io.BytesIO(big),
            (big[i : i + 99_999] for i in range(0, len(big), 99_999)),
        ):
            said = echo(session.put(app.url, data=data))
            assert said["sha256"] == want, data
    assert "transfer-encoding" in said["headers"], "a generator's length is not known"
    with pytest.raises(ValueError):
        session.post(app.url, json=float("nan"))
    with pytest.raises(ValueError):
        session.get(app.url, headers={"X": "a\r\nY: b"})
    assert "nothing was sent" in str(pytest.raises(blindbox.UsageError, session.get, app.url, timeout=0).value)
    assert echo(session.get(app.url + "/a b/é?q=ü x%20y"))["path"] == "/a%20b/%C3%A9?q=%C3%BC%20x%20y"

    def broken() -> Iterator[bytes]:
        yield b"part"
        raise OSError("the caller's own disk")

    with pytest.raises(OSError, match="own disk") as own:
        session.post(app.url, data=broken())
    assert not isinstance(own.value, blindbox.BlindBoxError)
    assert session.get(app.url).ok


def test_files(app: Box, session: requests.Session, tmp_path: pathlib.Path) -> None:
    (tmp_path / "photo.png").write_bytes(b"\x89PNG")
    with open(tmp_path / "photo.png", "rb") as f:
        said = echo(
            session.post(
                app.url,
                data={"k": "v"},
                files={"a": f, "b": ('q".txt', "text"), "c": ("n", b"x", "a/b"), "d": tmp_path / "photo.png"},
            )
        )
    kind = said["headers"]["content-type"]
    boundary = kind.partition("boundary=")[2]
    parts = said["body"].split("--" + boundary)
    assert kind.startswith("multipart/form-data") and len(parts) == 7 and parts[-1] == "--\r\n"
    assert parts[1] == '\r\nContent-Disposition: form-data; name="k"\r\n\r\nv\r\n'
    assert parts[2].startswith('\r\nContent-Disposition: form-data; name="a"; filename="photo.png"\r\n')
    assert parts[2].endswith("\r\nContent-Type: image/png\r\n\r\n\x89PNG\r\n")
    assert 'filename="q%22.txt"\r\nContent-Type: text/plain' in parts[3] and "a/b" in parts[4] and "\x89PNG" in parts[5]
    with pytest.raises(blindbox.UsageError):
        session.post(app.url, files={"a": ("n", b"", "a/b\r\nX: y")})


def test_answers(app: Box, session: requests.Session) -> None:
    r = session.get(app.url + "/status/404")
    assert (
        not r and not r.ok and r.reason == "Not Found" and r.json()["title"] == "no" and repr(r) == "<Response [404]>"
    )
    kinds = {
        400: blindbox.InvalidRequest,
        401: blindbox.Unauthenticated,
        403: blindbox.PolicyDenied,
        404: blindbox.NotFound,
        418: blindbox.BoxError,
        429: blindbox.Busy,
        500: requests.HTTPError,
        503: blindbox.Busy,
        507: blindbox.QuotaExceeded,
    }
    for status, kind in kinds.items():
        with pytest.raises(kind) as refused:
            session.get(f"{app.url}/status/{status}").raise_for_status()
        assert (
            refused.value.status == status
            and refused.value.message == "no: not today"
            and refused.value.response.status_code == status
        )
        assert not isinstance(refused.value, blindbox.Busy) or refused.value.retry_after == 7
    session.get(app.url).raise_for_status()


def test_a_box_cannot_speak_for_the_sidecar(app: Box, session: requests.Session) -> None:
    r = session.get(app.url + "/forged")
    assert r.status_code == 502 and "blindbox-proxy-error" not in r.headers


def test_streams(app: Box, session: requests.Session) -> None:
    with session.get(app.url + "/stream", stream=True) as r:
        assert list(r.iter_lines()) == [b"one", b"two", b"\xe9"]
    with session.get(app.url + "/stream", stream=True) as r:
        assert list(r.iter_lines(decode_unicode=True))[-1] == "é" and r.encoding == "latin-1"
    r = session.get(app.url + "/stream")
    assert r.text == "one\r\ntwo\né" and b"".join(r.iter_content(3)) == r.content
    with session.get(app.url + "/stream", stream=True) as r:
        next(r.iter_content(1))  # and the rest is not read
    assert session.get(app.url).ok


def test_large_answers(app: Box, session: requests.Session) -> None:
    """What is held in memory has a bound, whether the answer says how large it is or not."""
    session.max_bytes = 100_000
    for path in ("/large?9", f"/said?{1 << 50}"):
        with pytest.raises(blindbox.AnswerTooLarge, match="larger than 100000 bytes") as refused:
            session.get(app.url + path)
        assert "stream=True" in str(refused.value) and not refused.value.nothing_sent
    assert len(session.get(app.url + "/large?9", max_bytes=9 << 16).content) == 9 << 16
    with pytest.raises(blindbox.AnswerTooLarge):
        session.get(app.url + "/large?9", max_bytes=(9 << 16) - 1)
    with session.get(app.url + "/large?9", stream=True) as r:
        assert sum(map(len, r.iter_content())) == 9 << 16, "a stream has none"
    with session.get(app.url + "/large?9", stream=True) as r, pytest.raises(blindbox.AnswerTooLarge):
        list(r.iter_lines())
    with session.get(app.url + "/large?9", stream=True) as r, pytest.raises(blindbox.AnswerTooLarge):
        r.content
    assert session.get(app.url).ok


def test_redirected_stream(app: Box, session: requests.Session) -> None:
    """What was read is not there a second time: a program does not get less than was meant."""
    for data in (iter([b"x"]), io.BytesIO(b"x")):
        with pytest.raises(blindbox.BlindBoxError, match="body again") as refused:
            session.post(app.url + "/redirect?307", data=data)
        assert not refused.value.nothing_sent
    assert echo(session.post(app.url + "/redirect?303", data=iter([b"x"])))["method"] == "GET"


def test_redirected_and_refused(app: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was redirected was sent, though a box that is refused then has got nothing more."""
    from blindbox._wire import Wire

    send, asked = Wire.send, []

    def once(self: Wire, *args: Any, **more: Any) -> Any:
        asked.append(args)
        if len(asked) > 1:
            raise blindbox.AttestationError("refused", nothing_sent=True)
        return send(self, *args, **more)

    monkeypatch.setattr(Wire, "send", once)
    with requests.Session(app.trust) as session, pytest.raises(blindbox.AttestationError) as refused:
        session.post(app.url + "/redirect?307", data=b"private")
    assert len(asked) == 2 and not refused.value.nothing_sent


def test_redirects(app: Box, session: requests.Session) -> None:
    r = session.get(app.url + "/redirect")
    assert (
        echo(r)["path"] == "/echo?redirected"
        and r.url == app.url + "/echo?redirected"
        and [h.status_code for h in r.history] == [302]
    )
    assert echo(session.post(app.url + "/redirect?303", data="x"))["method"] == "GET"
    said = echo(session.post(app.url + "/redirect?307", data="x"))
    assert said["method"] == "POST" and said["body"] == "x"
    assert session.get(app.url + "/redirect", allow_redirects=False).is_redirect
    r = session.get(app.url + "/elsewhere")
    assert r.status_code == 302 and r.headers["location"] == "https://evil.example/"
    with pytest.raises(blindbox.BlindBoxError, match="more than 20 redirects"):
        session.get(app.url + "/around")


def test_nothing_weakens(app: Box, session: requests.Session) -> None:
    for more in (
        {"verify": False},
        {"verify": "ca.pem"},
        {"verify": None},
        {"proxies": {"https": "http://proxy"}},
        {"cert": "cert.pem"},
    ):
        with pytest.raises(blindbox.UsageError) as refused:
            session.get(app.url, **more)
        assert "nothing was sent" in str(refused.value)
    for url in ("http" + app.url[5:], "box.example", "https://a:b@box.example/"):
        with pytest.raises(blindbox.UsageError):
            session.get(url)
    assert not session._wires
    with pytest.raises(TypeError):
        session.get(app.url, cookies={})


def test_refused(start: Any) -> None:
    import sys

    from conftest import free_port

    port = free_port()
    script = str(pathlib.Path(__file__).parent / "app.py")
    bad = start(command=[sys.executable, script, str(port)], more=["--port", str(port), "--fault", "relay"])
    with requests.Session(bad.trust) as s, pytest.raises(blindbox.AttestationError) as refused:
        s.post(bad.url, data="secret")
    assert (
        refused.value.code == "BBX-221"
        and refused.value.nothing_sent
        and isinstance(refused.value, requests.RequestException)
    )
    with pytest.raises(blindbox.AttestationError) as once:
        blindbox.openai(bad.url, trust=bad.trust)
    assert once.value.code == "BBX-221"


def test_connections_are_used_again(app: Box, session: requests.Session) -> None:
    """Also after an answer that was read in parts."""
    session.get(app.url)
    (wire,) = session._wires.values()
    (first,) = wire._idle
    for path in ("/echo", "/stream", "/status/404"):
        with session.get(app.url + path, stream=True) as r:
            assert not wire._idle and b"".join(r.iter_content())
        assert wire._idle == [first], path
    session.head(app.url)
    assert wire._idle == [first]
