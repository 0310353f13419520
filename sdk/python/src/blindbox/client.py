"""The client: models into a verified box, questions to them, and out again.

The names of calls and arguments are those of BlindAI's client, for programs that were
written for it.
"""

from __future__ import annotations

import os
from types import TracebackType
from typing import TYPE_CHECKING, Any, List, Mapping, Optional, Sequence, Type, Union

from ._calls import Calls, inputs_as_given
from ._sidecar import Options, Sidecar, origin
from ._upload import Progress
from ._way import Blocking, finished
from ._wire import MOST_ANSWER, Wire
from .errors import UsageError
from .models import DeleteResponse, Model, ModelInfo, RunModelResponse, UploadResponse

if TYPE_CHECKING:
    import openai as openai_library

Path = Union[str, "os.PathLike[str]", None]

DEFAULT_TIMEOUT = 300.0  # seconds in which nothing comes or goes


class Verified:
    """What is known of a box that was verified."""

    def __init__(self, sidecar: Sidecar) -> None:
        self._sidecar = sidecar

    @property
    def result(self) -> Mapping[str, Any]:
        """The verdict as ``blindbox -o json`` has it: docs/json.md."""
        result = self._sidecar.document.get("result")
        return result if isinstance(result, dict) else {}

    @property
    def caller(self) -> Mapping[str, Any]:
        """Whom the box takes this caller for, and what its policy lets it do."""
        caller = self._sidecar.document.get("caller")
        return caller if isinstance(caller, dict) else {}

    @property
    def simulated(self) -> bool:
        """True unless the verdict says that hardware vouches for the box."""
        return self._sidecar.simulated

    def __reduce__(self) -> Any:
        raise TypeError("a client cannot be pickled or copied: connect in each process")


class Client(Verified):
    """A verified box. It may be used by many threads, and after a fork by both processes.

    Use it in a ``with``, or call ``close``; what was forgotten ends with the process.
    """

    def __init__(
        self, options: Options, timeout: Optional[float] = DEFAULT_TIMEOUT, max_bytes: Optional[int] = MOST_ANSWER
    ) -> None:
        super().__init__(Sidecar(options))
        self._wire = Wire(self._sidecar)
        self._calls = Calls(Blocking(self._wire), timeout, max_bytes)
        self._sidecar.start()

    # BlindAI's calls.

    def upload_model(
        self,
        model: Any,
        model_name: Optional[str] = None,
        optimize: bool = True,
        *,
        version: Union[int, str, None] = None,
        shared: bool = False,
        batch: Optional[int] = None,
        progress: Progress = None,
        timeout: Optional[float] = None,
        receipt: bool = False,
    ) -> UploadResponse:
        """Uploads a model: the path of an ONNX file or of a folder with a pipeline, bytes, a
        file open for reading, or an onnx.ModelProto.

        shared lets every caller ask it whom the box's policy lets. batch lets requests share
        runs of so many rows, 2 to 64. progress is a function
        of (bytes sent, bytes in all), False for none, True for a bar on standard error,
        which is there by itself on a terminal. A connection that is cut costs nothing that
        the box has; an upload that ends in an exception, Ctrl-C for one, leaves nothing there.
        With receipt the answer's ``receipt`` is what the box has signed about it.
        """
        return finished(
            self._calls.upload_model(model, model_name, optimize, version, shared, batch, progress, timeout, receipt)
        )

    def run_model(
        self,
        model_id: str = "",
        model_hash: Union[str, bytes] = "",
        input_tensors: Any = None,
        dtypes: Any = None,
        shapes: Any = None,
        *,
        version: Union[int, str, None] = None,
        outputs: Optional[Sequence[str]] = None,
        timeout: Optional[float] = None,
        receipt: bool = False,
    ) -> RunModelResponse:
        """Runs a model, by its id or its name, or by the SHA-256 of its file.

        input_tensors is a mapping of names, a list with a value for each input, or the
        value of the only one. Values are numpy arrays, torch tensors, typed buffers or
        lists; lists take the type and the shape of the model's input, if dtypes and shapes
        do not say. outputs names those that are wanted; without it all come. With receipt
        the answer's ``receipt`` is what the box has signed about this run.
        """
        return finished(
            self._calls.run_model(
                model_id, model_hash, input_tensors, dtypes, shapes, version, outputs, timeout, receipt
            )
        )

    def predict(
        self,
        model_id: str,
        tensors: Any,
        dtype: Any = None,
        shape: Any = None,
        *,
        version: Union[int, str, None] = None,
        timeout: Optional[float] = None,
    ) -> RunModelResponse:
        """The older name of ``run_model``."""
        return self.run_model(model_id, "", tensors, dtype, shape, version=version, timeout=timeout)

    def delete_model(
        self,
        model_id: str,
        *,
        version: Union[int, str, None] = None,
        all_versions: bool = False,
        timeout: Optional[float] = None,
        receipt: bool = False,
    ) -> DeleteResponse:
        """Takes a model of the caller out of the box, for good: the newest version of a name, the
        one that version names, or with all_versions every one, one after the other. The answer
        says which are gone and which are left; with receipt its ``receipt`` is what the box has
        signed about it."""
        return finished(self._calls.delete_model(model_id, version, all_versions, timeout, receipt))

    # More.

    def run(
        self,
        model: str,
        *inputs: Any,
        version: Union[int, str, None] = None,
        timeout: Optional[float] = None,
        receipt: bool = False,
        **named: Any,
    ) -> RunModelResponse:
        """Runs a model with its inputs one after the other, or by name.

        For models with a pipeline inputs are what people have: text, or the content of an
        image or a recording as bytes or as a pathlib.Path, or lists of them.
        """
        values = inputs_as_given(inputs, named)
        return self.run_model(model, "", values, version=version, timeout=timeout, receipt=receipt)

    def list_models(self, *, timeout: Optional[float] = None) -> List[Model]:
        """The models that the caller may know of."""
        return finished(self._calls.list_models(timeout))

    def describe_model(
        self, model_id: str, *, version: Union[int, str, None] = None, timeout: Optional[float] = None
    ) -> ModelInfo:
        """What a model takes and gives."""
        return finished(self._calls.describe_model(model_id, version, timeout))

    def load_model(
        self, model_id: str, *, version: Union[int, str, None] = None, timeout: Optional[float] = None
    ) -> Model:
        """Has a model made ready."""
        return finished(self._calls.change(model_id, version, "load", timeout))

    def unload_model(
        self, model_id: str, *, version: Union[int, str, None] = None, timeout: Optional[float] = None
    ) -> Model:
        """Has a model sealed until it is asked for; a pinned one stays ready."""
        return finished(self._calls.change(model_id, version, "unload", timeout))

    def pin_model(
        self, model_id: str, *, version: Union[int, str, None] = None, timeout: Optional[float] = None
    ) -> Model:
        """Keeps a model ready until ``unpin_model``."""
        return finished(self._calls.change(model_id, version, "pin", timeout))

    def unpin_model(
        self, model_id: str, *, version: Union[int, str, None] = None, timeout: Optional[float] = None
    ) -> Model:
        return finished(self._calls.change(model_id, version, "unpin", timeout))

    def openai(self, **options: Any) -> "openai_library.OpenAI":
        """An ``openai.OpenAI`` for this box, through the same sidecar; options are OpenAI's."""
        from ._openai import over

        return over(self._wire, owned=False, most=self._calls.most, **options)

    def close(self) -> None:
        """Ends the sidecar. What runs in other threads is cut."""
        self._wire.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()


def connect(
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
    unattested_server_port: Optional[int] = None,
    attested_server_port: Optional[int] = None,
    model_management_port: Optional[int] = None,
    hazmat_manifest_path: Any = None,
    hazmat_http_on_unattested_port: bool = False,
    simulation_mode: bool = False,
    use_cloud_manifest: bool = False,
) -> Client:
    """Verifies the box at addr (HOST, HOST:PORT or https://HOST:PORT), or raises.

    Args:
        trust: what the caller accepts; without it ``trust.yaml`` in this folder.
        api_key, api_key_file: the caller's key; without them BLINDBOX_API_KEY, if it is set.
        cert, key: PEM files of a TLS client certificate and its key.
        timeout: of every call of the client: seconds in which nothing comes or goes.
        verify_timeout: seconds for a verdict.
        binary: the program ``blindbox``, if it is not the one of this package.
        max_bytes: of an answer; a larger one is an ``AnswerTooLarge``. None for any.

    Of BlindAI's arguments attested_server_port is the port of the box, and the other ports
    mean nothing: a box has one. Those that made BlindAI accept more are refused: what is
    accepted is in the trust file alone.
    """
    options = options_of(
        addr,
        trust,
        api_key,
        api_key_file,
        cert,
        key,
        verify_timeout,
        binary,
        attested_server_port,
        simulation_mode=simulation_mode,
        hazmat_manifest_path=hazmat_manifest_path,
        hazmat_http_on_unattested_port=hazmat_http_on_unattested_port,
        use_cloud_manifest=use_cloud_manifest,
    )
    return Client(options, timeout, max_bytes)


def options_of(
    addr: str,
    trust: Path = None,
    api_key: Optional[str] = None,
    api_key_file: Path = None,
    cert: Path = None,
    key: Path = None,
    verify_timeout: float = 30.0,
    binary: Optional[str] = None,
    port: Optional[int] = None,
    **weaker: Any,
) -> Options:
    """Which box, who asks, and what is accepted."""
    for name, given in weaker.items():
        if given:
            raise UsageError(
                f"{name} does nothing here",
                seen=f"{name}={given!r}",
                expected="a trust file that says what is accepted (a simulated box: allow_simulated: true)",
                fix="Leave it out, and give trust=.",
                nothing_sent=True,
            )
    return Options(
        url=origin(addr, port),
        trust=_file(trust),
        api_key=api_key,
        api_key_file=_file(api_key_file),
        cert=_file(cert),
        key=_file(key),
        verify_timeout=verify_timeout,
        binary=binary,
    )


def _file(path: Path) -> Optional[str]:
    return None if path is None else os.path.abspath(path)
