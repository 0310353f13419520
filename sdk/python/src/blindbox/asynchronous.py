"""The client for programs with an event loop: the same calls, each to be awaited.

    async with blindbox.aconnect("https://box.example", trust="trust.yaml") as box:
        answer = await box.run_model("xray", input_tensors=array)

A task that is cancelled ends its request in that moment, and the box ends what it runs for
it. It needs asyncio, and no other package.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generator, List, Optional, Sequence, Type, Union

from ._awire import AsyncWire
from ._calls import Calls, Version, inputs_as_given
from ._sidecar import Options, Sidecar
from ._upload import Progress
from ._wire import MOST_ANSWER
from .client import DEFAULT_TIMEOUT, Path, Verified, options_of
from .models import DeleteResponse, Model, ModelInfo, RunModelResponse, UploadResponse

if TYPE_CHECKING:
    import openai as openai_library


class AsyncClient(Verified):
    """A verified box, for the tasks of an event loop: see ``aconnect``. Arguments and answers of
    the calls are those of ``Client``."""

    def __init__(
        self, options: Options, timeout: Optional[float] = DEFAULT_TIMEOUT, max_bytes: Optional[int] = MOST_ANSWER
    ) -> None:
        super().__init__(Sidecar(options))
        self._wire = AsyncWire(self._sidecar)
        self._calls = Calls(self._wire, timeout, max_bytes)

    async def _start(self) -> "AsyncClient":
        """Verifies the box. Who is cancelled meanwhile leaves nothing behind."""
        try:
            await self._wire.work(_started, self._sidecar)
        except asyncio.CancelledError:
            self._sidecar.give_up()
            raise
        return self

    async def upload_model(
        self,
        model: Any,
        model_name: Optional[str] = None,
        optimize: bool = True,
        *,
        version: Version = None,
        shared: bool = False,
        batch: Optional[int] = None,
        progress: Progress = None,
        timeout: Optional[float] = None,
        receipt: bool = False,
    ) -> UploadResponse:
        """Uploads a model. Whoever is cancelled meanwhile leaves nothing of it in the box."""
        return await self._calls.upload_model(
            model, model_name, optimize, version, shared, batch, progress, timeout, receipt
        )

    async def run_model(
        self,
        model_id: str = "",
        model_hash: Union[str, bytes] = "",
        input_tensors: Any = None,
        dtypes: Any = None,
        shapes: Any = None,
        *,
        version: Version = None,
        outputs: Optional[Sequence[str]] = None,
        timeout: Optional[float] = None,
        receipt: bool = False,
    ) -> RunModelResponse:
        """Runs a model. Whoever is cancelled ends the run."""
        return await self._calls.run_model(
            model_id, model_hash, input_tensors, dtypes, shapes, version, outputs, timeout, receipt
        )

    async def predict(
        self,
        model_id: str,
        tensors: Any,
        dtype: Any = None,
        shape: Any = None,
        *,
        version: Version = None,
        timeout: Optional[float] = None,
    ) -> RunModelResponse:
        """The older name of ``run_model``."""
        return await self.run_model(model_id, "", tensors, dtype, shape, version=version, timeout=timeout)

    async def run(
        self,
        model: str,
        *inputs: Any,
        version: Version = None,
        timeout: Optional[float] = None,
        receipt: bool = False,
        **named: Any,
    ) -> RunModelResponse:
        """Runs a model with its inputs one after the other, or by name."""
        values = inputs_as_given(inputs, named)
        return await self.run_model(model, "", values, version=version, timeout=timeout, receipt=receipt)

    async def delete_model(
        self,
        model_id: str,
        *,
        version: Version = None,
        all_versions: bool = False,
        timeout: Optional[float] = None,
        receipt: bool = False,
    ) -> DeleteResponse:
        """Takes a model of the caller out of the box, for good, and says which versions are gone
        and which are left."""
        return await self._calls.delete_model(model_id, version, all_versions, timeout, receipt)

    async def list_models(self, *, timeout: Optional[float] = None) -> List[Model]:
        """The models that the caller may know of."""
        return await self._calls.list_models(timeout)

    async def describe_model(
        self, model_id: str, *, version: Version = None, timeout: Optional[float] = None
    ) -> ModelInfo:
        """What a model takes and gives."""
        return await self._calls.describe_model(model_id, version, timeout)

    async def load_model(self, model_id: str, *, version: Version = None, timeout: Optional[float] = None) -> Model:
        """Has a model made ready."""
        return await self._calls.change(model_id, version, "load", timeout)

    async def unload_model(self, model_id: str, *, version: Version = None, timeout: Optional[float] = None) -> Model:
        """Has a model sealed until it is asked for; a pinned one stays ready."""
        return await self._calls.change(model_id, version, "unload", timeout)

    async def pin_model(self, model_id: str, *, version: Version = None, timeout: Optional[float] = None) -> Model:
        """Keeps a model ready until ``unpin_model``."""
        return await self._calls.change(model_id, version, "pin", timeout)

    async def unpin_model(self, model_id: str, *, version: Version = None, timeout: Optional[float] = None) -> Model:
        return await self._calls.change(model_id, version, "unpin", timeout)

    def openai(self, **options: Any) -> "openai_library.AsyncOpenAI":
        """An ``openai.AsyncOpenAI`` for this box, through the same sidecar."""
        from ._openai import async_over

        return async_over(self._wire, owned=False, most=self._calls.most, **options)

    async def close(self) -> None:
        """Ends the sidecar. What other tasks wait for is cut."""
        self._wire.hang_up()
        await self._wire.work(self._sidecar.close)

    aclose = close

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        await self.close()


def _started(sidecar: Sidecar) -> Sidecar:
    """The sidecar, which whoever does not wait for it any longer has closed."""
    sidecar.start()
    return sidecar


class Connecting:
    """What ``aconnect`` returns: to be awaited, or used in an ``async with``."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    def __await__(self) -> Generator[Any, None, AsyncClient]:
        return self._client._start().__await__()

    async def __aenter__(self) -> AsyncClient:
        return await self._client._start()

    async def __aexit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        await self._client.close()


def aconnect(
    addr: str,
    *,
    trust: Path = None,
    api_key: Optional[str] = None,
    api_key_file: Path = None,
    cert: Path = None,
    key: Path = None,
    timeout: Optional[float] = DEFAULT_TIMEOUT,
    verify_timeout: float = 30.0,
    binary: Optional[str] = None,
    max_bytes: Optional[int] = MOST_ANSWER,
) -> Connecting:
    """Verifies the box at addr, or raises: ``connect`` for an event loop, with its arguments.

    ``async with blindbox.aconnect(...) as box:``, or ``box = await blindbox.aconnect(...)`` and
    ``await box.close()`` in the end.
    """
    options = options_of(addr, trust, api_key, api_key_file, cert, key, verify_timeout, binary)
    return Connecting(AsyncClient(options, timeout, max_bytes))
