"""Every call to a box with models, once for programs that wait and for those that do not.

The names of calls and arguments are those of BlindAI's client, for programs that were
written for it. ``Client`` (client.py) and ``AsyncClient`` (asynchronous.py) are two faces of
what is here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union
from urllib.parse import quote

from . import _infer
from ._upload import Progress, Source, Upload, name_of, reporter
from ._way import Reply, Way
from ._wire import MOST_ANSWER
from .errors import BlindBoxError, NotFound, ReceiptError, UsageError, WrongType, of_box
from .models import DeleteResponse, Model, ModelInfo, RunModelResponse, UploadResponse, card, deleted, infos
from .receipts import Asking, Read, Receipt, with_receipt

Version = Union[int, str, None]


class Calls:
    """The calls over one way to a box. timeout is in seconds, and a call's own comes first."""

    def __init__(self, way: Way, timeout: Optional[float], most: Optional[int] = MOST_ANSWER) -> None:
        self.way, self._timeout, self.most = way, timeout, most
        self._known: Dict[str, ModelInfo] = {}

    async def upload_model(
        self,
        model: Any,
        model_name: Optional[str],
        optimize: bool,
        version: Version,
        shared: bool,
        batch: Optional[int],
        progress: Progress,
        timeout: Optional[float],
        receipt: bool,
    ) -> UploadResponse:
        source = await self.way.work(Source, model, self.way.sidecar.program)
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
            if batch is not None:
                parameters["batch"] = str(batch)
            upload = Upload(self.way, source, self._limit(timeout), reporter(progress, name), receipt)
            said = card(await upload.run(parameters))
            got = upload.receipt
            return with_receipt(UploadResponse(**said, receipt=got if isinstance(got, Receipt) else None), got)
        finally:
            source.close()

    async def run_model(
        self,
        model_id: str,
        model_hash: Union[str, bytes],
        input_tensors: Any,
        dtypes: Any,
        shapes: Any,
        version: Version,
        outputs: Optional[Sequence[str]],
        timeout: Optional[float],
        receipt: bool,
    ) -> RunModelResponse:
        model = _model(model_id, model_hash)
        if input_tensors is None:
            raise UsageError("no input_tensors", expected="the values of the model's inputs", nothing_sent=True)
        described = None
        if not _says_all(input_tensors):
            about = await self._described(model, version, timeout)
            described = about.inputs
            if about.platform == "blindbox_pipeline":
                _infer.refuse_paths_as_text(input_tensors, described)
        tensors = _infer.inputs_of(input_tensors, dtypes, shapes, described)
        headers, parts, length = _infer.request(tensors, outputs)
        path = _path(model, version) + "/infer"
        reply, got = await self._exchange("POST", path, headers, parts, length, timeout, receipt)
        try:
            outs = await _infer.answered(reply, self.most)
        finally:
            reply.close()
        return with_receipt(RunModelResponse(outs, got if isinstance(got, Receipt) else None), got)

    async def delete_model(
        self, model_id: str, version: Version, all_versions: bool, timeout: Optional[float], receipt: bool
    ) -> DeleteResponse:
        if not all_versions:
            return await self._delete(model_id, version, timeout, receipt)
        _one_name(model_id, version, receipt)
        gone = await self._delete(model_id, None, timeout, False)
        versions, left = gone.versions, gone.left
        for one in reversed(gone.left):
            try:
                more = await self._delete(gone.name, one, timeout, False)
            except NotFound:
                continue  # somebody else took it out meanwhile
            versions, left = versions + more.versions, more.left
        return DeleteResponse(gone.name, versions, left)

    async def _delete(
        self, model_id: str, version: Version, timeout: Optional[float], receipt: bool
    ) -> DeleteResponse:
        self._known.pop(model_id, None)
        reply, got = await self._exchange("DELETE", _place(model_id, version), {}, None, None, timeout, receipt)
        try:
            gone = deleted(await reply.json())
        finally:
            reply.close()
        return with_receipt(replace(gone, receipt=got if isinstance(got, Receipt) else None), got)

    async def list_models(self, timeout: Optional[float]) -> List[Model]:
        said = await self._ask("GET", "/v2/models", timeout)
        models = said.get("models") if isinstance(said, dict) else None
        return [Model(**card(m)) for m in _list(models)]

    async def describe_model(self, model_id: str, version: Version, timeout: Optional[float]) -> ModelInfo:
        said = await self._ask("GET", _path(model_id, version), timeout)
        if not isinstance(said, dict):
            raise UsageError(f"the box does not describe {model_id}")
        return ModelInfo(
            name=str(said.get("name", "")),
            versions=tuple(_list(said.get("versions"))),
            platform=str(said.get("platform", "")),
            inputs=infos(said.get("inputs")),
            outputs=infos(said.get("outputs")),
            parameters=said.get("parameters") or {},
        )

    async def change(self, model_id: str, version: Version, what: str, timeout: Optional[float]) -> Model:
        """load, unload, pin or unpin."""
        return Model(**card(await self._ask("POST", _place(model_id, version) + "/" + what, timeout)))

    async def _described(self, model: str, version: Version, timeout: Optional[float]) -> ModelInfo:
        """What a model takes. An id is of one file for ever; a name may lead to another tomorrow."""
        known = self._known.get(model)
        if known is None:
            known = await self.describe_model(model, version, timeout)
            if model.startswith("sha256:"):
                self._known[model] = known
        return known

    async def _ask(self, method: str, path: str, timeout: Optional[float]) -> Any:
        reply, _ = await self._exchange(method, path, {}, None, None, timeout, False)
        try:
            return await reply.json()
        finally:
            reply.close()

    async def _exchange(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        parts: Optional[Sequence[Any]],
        length: Optional[int],
        timeout: Optional[float],
        receipt: bool,
    ) -> Tuple[Reply, Union[Receipt, ReceiptError, None]]:
        """The answer, unless the box refuses, and the receipt for it, if one is wanted."""
        limit = self._limit(timeout)
        got: Union[Receipt, ReceiptError, None] = None
        if receipt:
            reply, got = await self._receipted(method, path, headers, parts, length, limit)
        else:
            reply = await self.way.send(method, path, headers, parts, length, limit)
        if 200 <= reply.status <= 299:
            return reply, got
        try:
            raise of_box(reply.status, await reply.json(), reply.headers.get("Retry-After"), receipt=got)
        finally:
            reply.close()

    async def _receipted(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        parts: Optional[Sequence[Any]],
        length: Optional[int],
        limit: Optional[float],
    ) -> Tuple[Reply, Union[Receipt, ReceiptError]]:
        asking = Asking(method, path)
        sent = b"".join(parts or ())  # as it is now: the arrays are the caller's
        body = None if parts is None else asking.watched([sent])
        reply = await self.way.send(method, path, {**headers, **asking.headers}, body, length, limit)
        data = await reply.whole(self.most)
        got = await asking.receipt(self.way, reply, data, sent or None, headers.get("Content-Type"), limit)
        return Read(reply.status, reply.headers, data), got

    def _limit(self, timeout: Optional[float]) -> Optional[float]:
        return self._timeout if timeout is None else timeout


def _list(said: Any) -> List[Any]:
    """What a box says is a list; nothing is an empty one."""
    if said is not None and not isinstance(said, list):
        raise BlindBoxError("the box's answer about a model cannot be read")
    return said or []


def inputs_as_given(inputs: Tuple[Any, ...], named: Mapping[str, Any]) -> Any:
    """The inputs of ``run``: one after the other, or by name."""
    if inputs and named:
        raise UsageError("inputs by place and by name at once", nothing_sent=True)
    return named or (inputs[0] if len(inputs) == 1 else list(inputs))


def _model(model_id: str, model_hash: Union[str, bytes]) -> str:
    if bool(model_id) == bool(model_hash):
        raise UsageError("which model?", expected="model_id or model_hash, one of them", nothing_sent=True)
    if model_id:
        return _checked(model_id)
    digest = model_hash.hex() if isinstance(model_hash, bytes) else _checked(model_hash)
    return digest if digest.startswith("sha256:") else "sha256:" + digest


def _checked(model: str) -> str:
    if not isinstance(model, str):
        raise WrongType(
            f"a model's name of type {type(model).__name__}",
            expected="a name or an id: what upload_model returns has both, .name and .model_id",
            nothing_sent=True,
        )
    return model


def _one_name(model: str, version: Version, receipt: bool) -> None:
    """Refuses what cannot be meant together with all versions of a name."""
    if version is not None:
        raise UsageError("version= and all_versions=True, expected one of them", nothing_sent=True)
    if _checked(model).startswith("sha256"):
        raise UsageError(
            "all_versions=True for an id, which is one file",
            expected="a name: it may have versions with other files",
            nothing_sent=True,
        )
    if receipt:
        raise UsageError(
            "a receipt is for one request, and all_versions=True makes one for each version",
            fix="Delete them one by one, with version=.",
            nothing_sent=True,
        )


def _says_all(values: Any) -> bool:
    """True for tensors by name that have a type and a shape of their own."""
    return isinstance(values, Mapping) and all(
        hasattr(v, "shape") or isinstance(v, memoryview) for v in values.values()
    )


def _name(model: str, version: Union[int, str, None]) -> str:
    _checked(model)
    name = "sha256-" + model[7:] if model.startswith("sha256:") else model
    path = quote(name, safe="~")
    return path if version is None else f"{path}/versions/{quote(str(version), safe='')}"


def _path(model: str, version: Union[int, str, None]) -> str:
    return "/v2/models/" + _name(model, version)


def _place(model: str, version: Union[int, str, None]) -> str:
    return "/v2/repository/models/" + _name(model, version)
