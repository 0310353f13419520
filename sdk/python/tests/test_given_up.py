"""Uploads that are given up leave nothing in a box: it counts what is there against the caller."""

from __future__ import annotations

import asyncio
import signal
from typing import Any, Type

import made
import pytest
from conftest import KEYS, TUMOUR, Box

import blindbox

LARGE = made.large(8 << 20)
MORE_THAN_ALLOWED = 6  # of uploads at once, which are four


def ctrl_c(sent: int, total: int) -> None:
    signal.raise_signal(signal.SIGINT)


def broken(sent: int, total: int) -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize("error, progress", [(KeyboardInterrupt, ctrl_c), (ZeroDivisionError, broken)])
def test_given_up(client: blindbox.Client, error: Type[BaseException], progress: Any) -> None:
    for _ in range(MORE_THAN_ALLOWED):
        with pytest.raises(error):
            client.upload_model(LARGE, "large", progress=progress)
    assert client.upload_model(TUMOUR, "small").name == "small"


def test_cancelled(box: Box) -> None:
    async def story() -> None:
        async with blindbox.aconnect(box.url, trust=box.trust, api_key=KEYS["acme"]) as client:
            for _ in range(MORE_THAN_ALLOWED):
                here = asyncio.Event()
                task = asyncio.ensure_future(
                    client.upload_model(LARGE, "large", progress=lambda sent, total: here.set())
                )
                await here.wait()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            assert (await client.upload_model(TUMOUR, "small")).name == "small"
            await client.delete_model("small")

    asyncio.run(story())


def test_again_while_it_is_given_up(client: blindbox.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A box that does not answer is not waited for, and neither is who asks a second time."""
    from blindbox import _wire

    asked, send = [], _wire.Wire.send

    def silent(self: Any, method: str, path: str, *args: Any, **more: Any) -> Any:
        if method == "DELETE" and "/uploads/" in path:
            asked.append(args[-1])
            raise failure
        return send(self, method, path, *args, **more)

    monkeypatch.setattr(_wire.Wire, "send", silent)
    for failure, raised in ((blindbox.Timeout("late"), ZeroDivisionError), (KeyboardInterrupt(), KeyboardInterrupt)):
        with pytest.raises(raised):
            client.upload_model(LARGE, "large", progress=broken)
    assert asked == [3.0, 3.0]


def test_pathless(client: blindbox.Client) -> None:
    """A refusal before the first byte has nothing to take back."""
    with pytest.raises(blindbox.InvalidRequest):
        client.upload_model(TUMOUR, model_name="../x")
