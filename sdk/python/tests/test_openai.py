"""The library openai, unchanged, through a sidecar."""

from __future__ import annotations

import os
import signal
import warnings
from typing import Any, List

import pytest
from conftest import Box, Start, free_port

import blindbox

openai = pytest.importorskip("openai")

MESSAGES: Any = [{"role": "user", "content": "say it aloud"}]


def test_chat(app: Box) -> None:
    with blindbox.openai(app.url, trust=app.trust) as client:
        assert isinstance(client, openai.OpenAI)
        said = client.chat.completions.create(model="m", messages=MESSAGES)
        assert said.choices[0].message.content == "SAY IT ALOUD"
        words = [
            c.choices[0].delta.content
            for c in client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
        ]
        assert words == ["SAY", "IT", "ALOUD"]
        with client.chat.completions.with_streaming_response.create(model="m", messages=MESSAGES) as raw:
            assert b"SAY" in raw.read()


def test_list(client: blindbox.Client) -> None:
    oai = client.openai()
    assert [m.id for m in oai.models.list()] == ["tumour"]
    with pytest.raises(openai.NotFoundError):
        oai.embeddings.create(model="none", input="x")
    oai.close()
    assert client.list_models(), "the sidecar is the client's"
    with pytest.raises(TypeError, match="base_url"):
        client.openai(base_url="https://elsewhere.example")


def test_refused(start: Start) -> None:
    """Why a box is refused arrives, and not as an error of a connection."""
    policy = "name: {}\nstore: {{memory: 64MiB}}\ncallers: [{{anyone: true, may: [list]}}]\n"
    first = start(policy.format("one"), more=["--listen", f"127.0.0.1:{free_port()}"])
    with blindbox.openai(first.url, trust=first.trust, max_retries=0) as client:
        assert list(client.models.list()) == []
        first.process.send_signal(signal.SIGINT)
        first.process.wait(60)
        with pytest.raises(blindbox.ConnectionLost):
            client.models.list()
        start(policy.format("two"), more=["--listen", first.url.partition("//")[2]])
        with pytest.raises(blindbox.AttestationError) as refused:
            client.models.list()
        assert refused.value.nothing_sent and refused.value.code.startswith("BBX-2")


class Full:
    """An answer after which the library tries again."""

    status, headers = 503, {"retry-after-ms": "1"}

    def read1(self, size: int) -> bytes:
        return b""

    def close(self) -> None:
        pass


def test_tried_again_and_refused(app: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library tries again by itself: that the last attempt sent nothing is not all."""
    from blindbox._wire import Wire

    answers = [Full()]

    def send(self: Wire, *args: Any, **more: Any) -> Any:
        if answers:
            return answers.pop()
        raise blindbox.AttestationError("refused", nothing_sent=True)

    monkeypatch.setattr(Wire, "send", send)
    with blindbox.openai(app.url, trust=app.trust, max_retries=1) as client:
        for nothing in (False, True):
            with pytest.raises(blindbox.AttestationError) as refused:
                client.chat.completions.create(model="m", messages=MESSAGES)
            assert refused.value.nothing_sent == nothing


def test_nothing_around_it(app: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies of the environment are not asked, nor another address."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "OPENAI_BASE_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with blindbox.openai(app.url, trust=app.trust, max_retries=0, timeout=60) as client:
        assert client.chat.completions.create(model="m", messages=MESSAGES).choices[0].message.content == "SAY IT ALOUD"


def test_large_answers(app: Box) -> None:
    """An answer that would be held in memory has a bound, and a stream has none."""
    asked: List[Any] = []
    with blindbox.openai(app.url, trust=app.trust, max_bytes=100_000) as client:
        client._client.event_hooks["request"].append(asked.append)
        for path in ("/large?9", f"/said?{1 << 50}"):
            with pytest.raises(blindbox.AnswerTooLarge):
                client.get(path, cast_to=object)
        assert len(asked) == 2, "not tried again for nothing"
        with client.models.with_streaming_response.list(extra_query={"x": 1}) as raw:
            assert raw.read()
        assert client.chat.completions.create(model="m", messages=MESSAGES).choices


def test_fork(app: Box) -> None:
    with blindbox.openai(app.url, trust=app.trust) as client:
        client.chat.completions.create(model="m", messages=MESSAGES)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pid = os.fork()
        if pid == 0:
            ok = False
            try:
                ok = (
                    client.chat.completions.create(model="m", messages=MESSAGES).choices[0].message.content
                    == "SAY IT ALOUD"
                )
            finally:
                os._exit(0 if ok else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        client.chat.completions.create(model="m", messages=MESSAGES)
