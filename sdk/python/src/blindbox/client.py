"""The client: models into a verified box, questions to them, and out again.

The names of calls and arguments are those of BlindAI's client, for programs that were
written for it.
"""

from __future__ import annotations

import os
from types import TracebackType
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Sequence, Type, Union
from urllib.parse import quote

from . import _infer
from ._sidecar import Options, Sidecar, origin
from ._upload import Progress, Source, Upload, name_of, reporter
from ._wire import Answer, Wire
from .errors import UsageError, of_box
from .models import Model, ModelInfo, RunModelResponse, UploadResponse, card, infos

if TYPE_CHECKING:
    import openai as openai_library

DEFAULT_TIMEOUT = 300.0  # seconds in which nothing comes or goes


class Client:
    """A verified box. It may be used by many threads, and after a fork by both processes.

    Use it in a ``with``, or call ``close``; what was forgotten ends with the process.
    """

    def __init__(self, options: Options, timeout: Optional[float] = DEFAULT_TIMEOUT) -> None:
        self._wire = Wire(Sidecar(options))
        self._timeout = timeout
        self._known: Dict[str, ModelInfo] = {}
        self._wire.sidecar.start()

    # What was verified.

    @property
    def result(self) -> Mapping[str, Any]:
        """The verdict as ``blindbox -o json`` has it: docs/json.md."""
        result = self._wire.sidecar.document.get("result")
        return result if isinstance(result, dict) else {}

    @property
    def caller(self) -> Mapping[str, Any]:
        """Whom the box takes this caller for, and what its policy lets it do."""
        caller = self._wire.sidecar.document.get("caller")
        return caller if isinstance(caller, dict) else {}

    @property
    def simulated(self) -> bool:
        """True unless the verdict says that hardware vouches for the box."""
        return self._wire.sidecar.simulated

    # BlindAI's calls.

    def upload_model(
        self,
        model: Any,
        model_name: Optional[str] = None,
        optimize: bool = True,
        *,
        version: Union[int, str, None] = None,
        shared: bool = False,
        progress: Progress = None,
        timeout: Optional[float] = None,
    ) -> UploadResponse:
        """Uploads a model: the path of an ONNX file or of a folder with a pipeline, bytes, a
        file open for reading, or an onnx.ModelProto.

        shared lets every caller ask it whom the box's policy lets. progress is a function
        of (bytes sent, bytes in all), False for none, True for a bar on standard error,
        which is there by itself on a terminal. A connection that is cut costs nothing that
        the box has.
        """
        source = Source(model, self._wire.sidecar.program)
        try:
            name = model_name or name_of(source.name)
            if not name:
                raise UsageError("a model without a name", fix="Give model_name=.", nothing_sent=True)
            parameters = {"name": name}
            if version is not None:
                parameters["version"] = str(version)
            if shared:
                parameters["visibility"] = "shared"
            if not optimize:
                parameters["optimize"] = "false"
            upload = Upload(self._wire, source, self._limit(timeout), reporter(progress, name))
            return UploadResponse(**card(upload.run(parameters)))
        finally:
            source.close()

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
    ) -> RunModelResponse:
        """Runs a model, by its id or its name, or by the SHA-256 of its file.

        input_tensors is a mapping of names, a list with a value for each input, or the
        value of the only one. Values are numpy arrays, torch tensors, typed buffers or
        lists; lists take the type and the shape of the model's input, if dtypes and shapes
        do not say. outputs names those that are wanted; without it all come.
        """
        model = _model(model_id, model_hash)
        described = None
        if not _says_all(input_tensors):
            described = self._described(model, version, timeout).inputs
        tensors = _infer.inputs_of(input_tensors, dtypes, shapes, described)
        headers, parts, length = _infer.request(tensors, outputs)
        answer = self._wire.send("POST", _path(model, version) + "/infer", headers, parts, length, self._limit(timeout))
        try:
            _check(answer)
            return RunModelResponse(_infer.answered(answer))
        finally:
            answer.close()

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
        self, model_id: str, *, version: Union[int, str, None] = None, timeout: Optional[float] = None
    ) -> None:
        """Takes a model of the caller out of the box, for good."""
        self._known.pop(model_id, None)
        self._ask("DELETE", _place(model_id, version), timeout)

    # More.

    def run(
        self,
        model: str,
        *inputs: Any,
        version: Union[int, str, None] = None,
        timeout: Optional[float] = None,
        **named: Any,
    ) -> RunModelResponse:
        """Runs a model with its inputs one after the other, or by name.

        For models with a pipeline inputs are what people have: text, or the content of an
        image or a recording as bytes or as a pathlib.Path, or lists of them.
        """
        if inputs and named:
            raise UsageError("inputs by place and by name at once", nothing_sent=True)
        values: Any = named or (inputs[0] if len(inputs) == 1 else list(inputs))
        return self.run_model(model, "", values, version=version, timeout=timeout)

    def list_models(self, *, timeout: Optional[float] = None) -> List[Model]:
        """The models that the caller may know of."""
        said = self._ask("GET", "/v2/models", timeout)
        models = said.get("models") if isinstance(said, dict) else None
        return [Model(**card(m)) for m in models or ()]

    def describe_model(
        self, model_id: str, *, version: Union[int, str, None] = None, timeout: Optional[float] = None
    ) -> ModelInfo:
        """What a model takes and gives."""
        said = self._ask("GET", _path(model_id, version), timeout)
        if not isinstance(said, dict):
            raise UsageError(f"the box does not describe {model_id}")
        return ModelInfo(
            name=str(said.get("name", "")),
            versions=tuple(said.get("versions") or ()),
            platform=str(said.get("platform", "")),
            inputs=infos(said.get("inputs")),
            outputs=infos(said.get("outputs")),
            parameters=said.get("parameters") or {},
        )

    def load_model(
        self, model_id: str, *, version: Union[int, str, None] = None, timeout: Optional[float] = None
    ) -> Model:
        """Has a model made ready."""
        return self._change(model_id, version, "load", timeout)

    def unload_model(
        self, model_id: str, *, version: Union[int, str, None] = None, timeout: Optional[float] = None
    ) -> Model:
        """Has a model sealed until it is asked for; a pinned one stays ready."""
        return self._change(model_id, version, "unload", timeout)

    def pin_model(
        self, model_id: str, *, version: Union[int, str, None] = None, timeout: Optional[float] = None
    ) -> Model:
        """Keeps a model ready until ``unpin_model``."""
        return self._change(model_id, version, "pin", timeout)

    def unpin_model(
        self, model_id: str, *, version: Union[int, str, None] = None, timeout: Optional[float] = None
    ) -> Model:
        return self._change(model_id, version, "unpin", timeout)

    def openai(self, **options: Any) -> "openai_library.OpenAI":
        """An ``openai.OpenAI`` for this box, through the same sidecar; options are OpenAI's."""
        from ._openai import over

        return over(self._wire, owned=False, **options)

    def close(self) -> None:
        """Ends the sidecar. What runs in other threads is cut."""
        self._wire.close()

    def __reduce__(self) -> Any:
        raise TypeError("a client cannot be pickled: connect in each process")

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def _described(self, model: str, version: Union[int, str, None], timeout: Optional[float]) -> ModelInfo:
        """What a model takes. An id is of one file for ever; a name may lead to another tomorrow."""
        known = self._known.get(model)
        if known is None:
            known = self.describe_model(model, version=version, timeout=timeout)
            if model.startswith("sha256:"):
                self._known[model] = known
        return known

    def _change(self, model_id: str, version: Union[int, str, None], what: str, timeout: Optional[float]) -> Model:
        return Model(**card(self._ask("POST", _place(model_id, version) + "/" + what, timeout)))

    def _ask(self, method: str, path: str, timeout: Optional[float]) -> Any:
        answer = self._wire.send(method, path, timeout=self._limit(timeout))
        try:
            _check(answer)
            return answer.json()
        finally:
            answer.close()

    def _limit(self, timeout: Optional[float]) -> Optional[float]:
        return self._timeout if timeout is None else timeout


def connect(
    addr: str,
    *,
    trust: Union[str, "os.PathLike[str]", None] = None,
    api_key: Optional[str] = None,
    api_key_file: Union[str, "os.PathLike[str]", None] = None,
    cert: Union[str, "os.PathLike[str]", None] = None,
    key: Union[str, "os.PathLike[str]", None] = None,
    timeout: Optional[float] = DEFAULT_TIMEOUT,
    verify_timeout: float = 30.0,
    binary: Optional[str] = None,
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

    Of BlindAI's arguments attested_server_port is the port of the box, and the other ports
    mean nothing: a box has one. Those that made BlindAI accept more are refused: what is
    accepted is in the trust file alone.
    """
    for name, given in (
        ("simulation_mode", simulation_mode),
        ("hazmat_manifest_path", hazmat_manifest_path),
        ("hazmat_http_on_unattested_port", hazmat_http_on_unattested_port),
        ("use_cloud_manifest", use_cloud_manifest),
    ):
        if given:
            raise UsageError(
                f"{name} does nothing here",
                seen=f"{name}={given!r}",
                expected="a trust file that says what is accepted (a simulated box: allow_simulated: true)",
                fix="Leave it out, and give trust=.",
                nothing_sent=True,
            )
    options = Options(
        url=origin(addr, attested_server_port),
        trust=_file(trust),
        api_key=api_key,
        api_key_file=_file(api_key_file),
        cert=_file(cert),
        key=_file(key),
        verify_timeout=verify_timeout,
        binary=binary,
    )
    return Client(options, timeout)


def _file(path: Union[str, "os.PathLike[str]", None]) -> Optional[str]:
    return None if path is None else os.path.abspath(path)


def _model(model_id: str, model_hash: Union[str, bytes]) -> str:
    if bool(model_id) == bool(model_hash):
        raise UsageError("which model?", expected="model_id or model_hash, one of them", nothing_sent=True)
    if model_id:
        return model_id
    digest = model_hash.hex() if isinstance(model_hash, bytes) else model_hash
    return digest if digest.startswith("sha256:") else "sha256:" + digest


def _says_all(values: Any) -> bool:
    """True for tensors by name that have a type and a shape of their own."""
    return isinstance(values, Mapping) and all(
        hasattr(v, "shape") or isinstance(v, memoryview) for v in values.values()
    )


def _name(model: str, version: Union[int, str, None]) -> str:
    name = "sha256-" + model[7:] if model.startswith("sha256:") else model
    path = quote(name, safe="~")
    return path if version is None else f"{path}/versions/{quote(str(version), safe='')}"


def _path(model: str, version: Union[int, str, None]) -> str:
    return "/v2/models/" + _name(model, version)


def _place(model: str, version: Union[int, str, None]) -> str:
    return "/v2/repository/models/" + _name(model, version)


def _check(answer: Answer) -> None:
    if not 200 <= answer.status <= 299:
        raise of_box(answer.status, answer.json(), answer.headers.get("Retry-After"))
