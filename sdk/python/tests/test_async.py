"""The client for event loops: the same calls, and who is cancelled ends what was asked."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from typing import Any, Awaitable, Callable, List

import made
import numpy
import pytest
from conftest import KEYS, TUMOUR, TUMOUR_ID, Box, Start, hashed
from test_sidecar import ANYONE, gone, unanswered

import blindbox
from blindbox import requests

openai = pytest.importorskip("openai")

MESSAGES: Any = [{"role": "user", "content": "say it aloud"}]
HANGING: Any = [{"role": "user", "content": "until I leave"}]


def connect(box: Box, who: str = "acme", **more: Any) -> Any:
    return blindbox.aconnect(box.url, trust=box.trust, api_key=KEYS[who], **more)


async def soon(what: Callable[[], Awaitable[bool]]) -> bool:
    """Says whether it comes true within a minute."""
    for _ in range(1200):
        if await what():
            return True
        await asyncio.sleep(0.05)
    return False


def test_every_call(box: Box, sample: List[float]) -> None:
    async def story() -> None:
        async with connect(box) as client:
            assert client.caller["name"] == "acme" and client.result["verdict"] == "trusted" and client.simulated
            told: List[int] = []
            model = await client.upload_model(TUMOUR, "mine", progress=lambda sent, total: told.append(sent))
            assert model.model_id == TUMOUR_ID and told[-1] == model.size
            rows = numpy.array([sample], dtype=numpy.float32)
            for answer in (
                await client.run_model(model.model_id, input_tensors=sample),
                await client.predict("mine", sample, "float32", [1, 30]),
                await client.run("mine", rows),
                await client.run("mine", features=rows),
            ):
                assert answer["label"].as_flat() == [0]
            assert (await client.describe_model("mine")).outputs[1].node_name == "label"
            assert sorted(m.name for m in await client.list_models()) == ["mine", "tumour"]
            assert (await client.pin_model("mine")).pinned and not (await client.unpin_model("mine")).pinned
            assert (await client.load_model("mine")).loaded
            with pytest.raises(blindbox.BoxError):
                await client.unload_model("none")
            assert (await client.delete_model("mine")).left == ()
            with pytest.raises(blindbox.NotFound, match='no model "mine"'):
                await client.delete_model("mine")
            large = numpy.tile(rows, (100_000, 1))
            p = (await client.run_model("tumour", input_tensors={"features": large}))["probabilities"].as_numpy()
            assert p.shape == (100_000, 2) and (p == p[0]).all()
            with pytest.raises(blindbox.InvalidRequest, match="store.owner.bytes"):
                await client.upload_model(bytes(200 << 20), "large")

    asyncio.run(story())


def test_the_same_arguments() -> None:
    """Whoever knows one client knows the other."""
    import inspect

    for name in dir(blindbox.Client):
        if not name.startswith("_") and callable(getattr(blindbox.Client, name)) and name not in ("close", "openai"):
            sync = inspect.signature(getattr(blindbox.Client, name))
            other = inspect.signature(getattr(blindbox.AsyncClient, name))
            assert list(sync.parameters) == list(other.parameters), name
            assert inspect.iscoroutinefunction(getattr(blindbox.AsyncClient, name)), name
    mine = set(inspect.signature(blindbox.aconnect).parameters)
    assert mine == {n for n in inspect.signature(blindbox.connect).parameters if n not in NOT_FOR_NEW_PROGRAMS}


NOT_FOR_NEW_PROGRAMS = {
    "unattested_server_port",
    "attested_server_port",
    "model_management_port",
    "hazmat_manifest_path",
    "hazmat_http_on_unattested_port",
    "simulation_mode",
    "use_cloud_manifest",
}


def test_many_at_once(box: Box, sample: List[float]) -> None:
    """And in two loops, one after the other."""

    async def connected() -> Any:
        return await connect(box)

    client = asyncio.run(connected())

    async def ask(i: int) -> None:
        x = numpy.array([sample], dtype=numpy.float32) * (1 + i)
        while True:
            try:
                got = await client.run_model("tumour", input_tensors={"features": x})
                break
            except blindbox.Busy:
                await asyncio.sleep(0.05)
        assert (got["probabilities"].as_numpy() == want[i]).all()

    async def all_of_them() -> None:
        await asyncio.gather(*[ask(i) for i in range(40)])
        assert 0 < len(client._wire._idle) <= 32

    with box.connect() as plain:
        want = [
            plain.run_model("tumour", input_tensors=numpy.array([sample], dtype=numpy.float32) * (1 + i))[
                "probabilities"
            ].as_numpy()
            for i in range(40)
        ]
    asyncio.run(all_of_them())
    asyncio.run(all_of_them())
    asyncio.run(client.close())
    assert not client._wire._idle
    with pytest.raises(blindbox.UsageError, match="closed"):
        asyncio.run(client.list_models())


SLOW = f"""
name: slow
store: {{memory: 64MiB}}
limits: {{concurrent: 2, time: 10m}}
callers: [{{name: acme, api_key: "{hashed("acme")}", may: [upload, query]}}]
"""


def test_cancelled_run(start: Start) -> None:
    """A box that is full of runs is free again when nobody waits for them: they would take many
    minutes."""
    box = start(SLOW)

    async def story() -> None:
        async with connect(box) as client, connect(box) as other:
            await client.upload_model(made.slow(), "slow")

            async def full() -> bool:
                try:
                    await other.run_model("slow", input_tensors={"s": [1, 1]})
                except blindbox.Busy:
                    return True
                return False

            async def free() -> bool:
                return not await full()

            async def run(**more: Any) -> None:  # there may be one free place, and not yet two
                while True:
                    try:
                        await client.run_model("slow", input_tensors=made.INPUT, **more)
                        return
                    except blindbox.Busy:
                        await asyncio.sleep(0.05)

            for _ in range(2):
                runs = [asyncio.ensure_future(run()) for _ in range(2)]
                assert await soon(full)
                for task in runs:
                    task.cancel()
                for task in runs:
                    with pytest.raises(asyncio.CancelledError):
                        await task
                assert await soon(free)
            with pytest.raises(blindbox.Timeout):
                await run(timeout=0.3)
            assert await soon(free)

    asyncio.run(story())


def test_cancelled_while_it_is_verified(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left of a client that nobody waited for."""
    from blindbox import _sidecar

    launched: List[Any] = []
    launch = _sidecar._launch

    def watched(*args: Any) -> Any:
        launched.append(launch(*args))
        return launched[-1]

    monkeypatch.setattr(_sidecar, "_launch", watched)

    async def story(address: str) -> None:
        task = asyncio.ensure_future(blindbox.aconnect(address, trust=box.trust, verify_timeout=600).__aenter__())

        async def begun() -> bool:
            return bool(launched)

        assert await soon(begun)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()  # accepts, and never speaks
        asyncio.run(story(f"127.0.0.1:{s.getsockname()[1]}"))
        assert launched[0].returncode == -signal.SIGKILL, "long before it would have ended by itself"


def test_refused(start: Start, box: Box) -> None:
    bad = start(ANYONE, more=["--fault", "relay"])

    async def story() -> None:
        with pytest.raises(blindbox.AttestationError) as refused:
            await blindbox.aconnect(bad.url, trust=bad.trust)
        assert refused.value.code == "BBX-221" and refused.value.nothing_sent
        with pytest.raises(blindbox.AttestationError):
            async with blindbox.async_openai(bad.url, trust=bad.trust):
                pass
        client = blindbox.async_openai(bad.url, trust=bad.trust)
        with pytest.raises(blindbox.AttestationError) as later:
            await client.models.list()
        assert later.value.code == "BBX-221" and later.value.nothing_sent
        await client.close()

    asyncio.run(story())


def test_sidecar_is_killed(box: Box) -> None:
    async def story() -> None:
        async with connect(box) as client:
            await client.list_models()
            sidecar = client._wire.sidecar
            old, path = sidecar.pid, sidecar.document["socket"]
            os.kill(old, signal.SIGKILL)
            assert gone(old) and unanswered(path)
            assert await client.list_models() and sidecar.pid != old

    asyncio.run(story())


def test_openai(app: Box) -> None:
    async def story() -> None:
        async with blindbox.async_openai(app.url, trust=app.trust) as client:
            assert isinstance(client, openai.AsyncOpenAI)
            said = await asyncio.gather(
                *[client.chat.completions.create(model="m", messages=MESSAGES) for _ in range(5)]
            )
            assert {s.choices[0].message.content for s in said} == {"SAY IT ALOUD"}
            stream = await client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
            assert [c.choices[0].delta.content async for c in stream] == ["SAY", "IT", "ALOUD"]
            with pytest.raises(TypeError, match="base_url"):
                blindbox.async_openai(app.url, trust=app.trust, base_url="https://elsewhere.example")

    asyncio.run(story())


def test_openai_of_a_client(box: Box) -> None:
    async def story() -> None:
        async with connect(box) as client:
            other = client.openai()
            assert [m.id async for m in other.models.list()] == ["tumour"]
            with pytest.raises(openai.NotFoundError):
                await other.embeddings.create(model="none", input="x")
            await other.close()
            assert await client.list_models(), "the sidecar is the client's"

    asyncio.run(story())


def test_cancelled_stream(app: Box) -> None:
    """A program in a box sees that nobody listens any longer."""

    def count(what: str) -> int:
        with requests.Session(app.trust) as session:
            return int(session.get(app.url + what).text)

    async def story() -> None:
        async with blindbox.async_openai(app.url, trust=app.trust, max_retries=0) as client:

            async def listen() -> None:
                stream = await client.chat.completions.create(model="m", messages=HANGING, stream=True)
                async for _ in stream:
                    pass

            async def wait() -> None:
                await client.chat.completions.create(model="m", messages=HANGING)

            for what in (listen, wait):
                before = count("/begun"), count("/gone")
                task = asyncio.ensure_future(what())

                async def there() -> bool:
                    return await asyncio.to_thread(count, "/begun") > before[0]

                assert await soon(there) and not task.done()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

                async def more() -> bool:
                    return count("/gone") > before[1]

                assert await soon(more)

    asyncio.run(story())


def test_large_answers(app: Box) -> None:
    """An answer that would be held in memory has a bound, and a stream has none."""

    async def story() -> None:
        async with blindbox.async_openai(app.url, trust=app.trust, max_bytes=100_000) as client:
            with pytest.raises(blindbox.AnswerTooLarge):
                await client.get("/large?9", cast_to=object)
            with pytest.raises(blindbox.AnswerTooLarge):
                await client.get(f"/said?{1 << 50}", cast_to=object)
            assert (await client.chat.completions.create(model="m", messages=MESSAGES)).choices

    asyncio.run(story())
