"""Requests and answers of the Open Inference Protocol, version 2, with binary tensors."""

from __future__ import annotations

import json
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple, Union

from ._way import Reply
from ._wire import MOST_ANSWER, Buffer, is_size, too_large
from .errors import AnswerTooLarge, BlindBoxError, UsageError, WrongType
from .tensors import (
    MOST_DIMENSIONS,
    Tensor,
    TensorInfo,
    count_of,
    datatype_of,
    elements_of,
    nested,
    size_of,
    tensor,
)

HEAD_LENGTH = "Inference-Header-Content-Length"

_MOST_HEAD = 16 << 20

# What callers give for all inputs: by name, in the model's order, or the only one.
Many = Union[None, Any, Sequence[Any], Mapping[str, Any]]


def inputs_of(values: Any, dtypes: Many, shapes: Many, described: Optional[Sequence[TensorInfo]]) -> List[Tensor]:
    """Makes the tensors of a request. described are the model's inputs; without them values
    must be a mapping whose values say what they are."""
    known = {info.node_name or "": info for info in described or ()}
    if isinstance(values, Mapping):
        named = list(values.items())
        _only_for("dtypes", dtypes, values)
        _only_for("shapes", shapes, values)
    else:
        if described is None:
            raise UsageError("inputs without names, and the model is not known", nothing_sent=True)
        each = _in_order(values, described, shapes is not None)
        named = [(info.node_name or "", value) for info, value in zip(described, each)]
    return [
        _input(name, value, _one(dtypes, name, i), _one(shapes, name, i, lists=True), known.get(name))
        for i, (name, value) in enumerate(named)
    ]


def refuse_paths_as_text(values: Any, described: Sequence[TensorInfo]) -> None:
    """No text is a picture or a recording: it is most likely the path of one. described are
    the inputs of a pipeline."""
    for info in described:
        name = info.node_name or ""
        value = values.get(name) if isinstance(values, Mapping) else values
        all_of_them = value if isinstance(value, (list, tuple)) else [value]
        if name in ("image", "audio") and any(isinstance(v, str) for v in all_of_them):
            raise WrongType(
                f"{name}: a str, which is text",
                expected="pathlib.Path(...) of a file, its content as bytes, or a file open for reading",
                nothing_sent=True,
            )


def _in_order(values: Any, described: Sequence[TensorInfo], shaped: bool) -> List[Any]:
    """One value for each input. For a model with one input it may stand in a list by itself."""
    if len(described) == 1:
        return [_unwrapped(values, described[0], shaped)]
    if not isinstance(values, (list, tuple)) or len(values) != len(described):
        names = ", ".join(info.node_name or "" for info in described)
        raise UsageError("inputs by their place", expected=f"a list of {len(described)}: {names}", nothing_sent=True)
    return list(values)


def _unwrapped(values: Any, info: TensorInfo, shaped: bool) -> Any:
    if not isinstance(values, (list, tuple)) or len(values) != 1:
        return values
    only = values[0]
    if isinstance(only, (list, tuple)):
        return only if shaped or len(nested(values)) > len(info.fact) else values
    dims = getattr(only, "shape", None)
    if dims is None or isinstance(only, (int, float, str, bytes)):
        return values
    return only if len(dims) >= len(info.fact) or shaped else values  # a row is one of a batch


def _only_for(what: str, given: Many, values: Mapping[str, Any]) -> None:
    """Refuses a type or a shape of an input that is not there: a slip would go unseen."""
    if isinstance(given, Mapping):
        for name in given:
            if name not in values:
                raise UsageError(
                    f"{what} for {name!r}, which is no input", expected=", ".join(values), nothing_sent=True
                )


def _one(given: Many, name: str, place: int, lists: bool = False) -> Any:
    """What was given for one input. A single shape is a list itself."""
    if given is None:
        return None
    if isinstance(given, Mapping):
        return given.get(name)
    if lists and not isinstance(given, (list, tuple)):
        return list(given) if hasattr(given, "tolist") else given
    if lists and given and hasattr(given[0], "__index__"):
        return given
    if isinstance(given, (list, tuple)):
        return given[place] if place < len(given) else None
    return given


def _input(name: str, value: Any, dtype: Any, shape: Any, info: Optional[TensorInfo]) -> Tensor:
    datatype = datatype_of(dtype) if dtype is not None else info.datum_type.value if info is not None else None
    if datatype == "BYTES" and not isinstance(value, (list, tuple)) and info is not None and len(info.fact) == 1:
        if not hasattr(value, "shape") or isinstance(value, memoryview):
            value = [value]  # a batch of one
    t = tensor(name, value, datatype, shape)
    if dtype is not None and t.datum_type.value != datatype:
        raise UsageError(f"input {name!r} is {t.datum_type.value}, and dtypes says {datatype}", nothing_sent=True)
    if shape is None and info is not None and isinstance(value, (list, tuple)):
        t.info.fact = list(_completed(name, t.shape, info.fact))
    return t


def _completed(name: str, shape: Tuple[int, ...], wanted: Sequence[int]) -> Sequence[int]:
    """The shape of a flat list for a model that takes more dimensions, if there is one."""
    if len(shape) != 1 or len(wanted) <= 1:
        return shape
    closed, opened = 1, [i for i, d in enumerate(wanted) if d < 0]
    for d in wanted:
        closed *= max(d, 1)
    whole, rest = divmod(shape[0], max(closed, 1))
    if rest or len(opened) > 1 or (not opened and whole != 1):
        raise UsageError(
            f"input {name!r}: {shape[0]} elements in a flat list",
            expected=f"shape {list(wanted)}: give shapes=",
            nothing_sent=True,
        )
    return [whole if d < 0 else d for d in wanted]


def request(inputs: Sequence[Tensor], outputs: Optional[Sequence[str]]) -> Tuple[Dict[str, str], List[Buffer], int]:
    """The headers, the parts and the length of a request."""
    head: Dict[str, Any] = {
        "parameters": {"binary_data_output": True},
        "inputs": [
            {
                "name": t.name,
                "datatype": t.datum_type.value,
                "shape": list(t.shape),
                "parameters": {"binary_data_size": _bytes(t.bytes_data)},
            }
            for t in inputs
        ],
    }
    if outputs is not None:
        head["outputs"] = [{"name": name} for name in outputs]
    text = json.dumps(head, separators=(",", ":")).encode()
    parts: List[Buffer] = [text, *(t.bytes_data for t in inputs)]
    headers = {"Content-Type": "application/octet-stream", HEAD_LENGTH: str(len(text))}
    return headers, parts, sum(_bytes(p) for p in parts)


def _bytes(data: Buffer) -> int:
    return memoryview(data).nbytes


async def answered(reply: Reply, most: Optional[int] = MOST_ANSWER) -> List[Tensor]:
    """Reads the outputs, each into memory of its own, if they are not more than so many bytes."""
    if too_large(reply.headers, most):
        raise AnswerTooLarge.than(most)
    try:
        return await _answered(reply)
    except UsageError as e:
        # It says that nothing was sent, which holds of a caller's values and not of a box's.
        raise _unreadable(e.title) from None
    except (ValueError, TypeError, AttributeError, RecursionError) as e:
        raise _unreadable(str(e)) from None


async def _answered(reply: Reply) -> List[Tensor]:
    said = reply.headers.get(HEAD_LENGTH)
    if said is None:
        return [_of_json(o) for o in _outputs(await reply.json())]
    if not is_size(said) or int(said) > _MOST_HEAD:
        raise _unreadable(f"{HEAD_LENGTH} {said[:40]}")
    length = reply.headers.get("Content-Length", "")
    left = int(length) - int(said) if is_size(length) else -1
    if left < 0:
        raise _unreadable(f"{HEAD_LENGTH} {said} of {length[:40] or 'unknown'}")
    head = bytearray(int(said))
    await reply.readinto(head)
    tensors = []
    for o in _outputs(_parsed(head)):
        t = await _of_bytes(o, reply, left)
        left -= _bytes(t.bytes_data) if "data" not in o else 0
        tensors.append(t)
    return tensors


def _parsed(head: bytearray) -> Any:
    try:
        return json.loads(head)
    except (ValueError, RecursionError):
        return None


def _outputs(document: Any) -> Iterable[Mapping[str, Any]]:
    outputs = document.get("outputs") if isinstance(document, dict) else None
    if not isinstance(outputs, list) or not all(isinstance(o, dict) for o in outputs):
        raise _unreadable("no outputs")
    return outputs


def _of_json(output: Mapping[str, Any]) -> Tensor:
    info = _info(output)
    return tensor(info.node_name or "", output.get("data"), info.datum_type.value, info.fact)


async def _of_bytes(output: Mapping[str, Any], reply: Reply, left: int) -> Tensor:
    """Reads an output of which at most so many bytes are left."""
    if "data" in output:
        return _of_json(output)
    info = _info(output)
    parameters = output.get("parameters")
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    expected = size_of(info.datum_type.value, info.fact)
    if not isinstance(size, int) or not 0 <= size <= left or expected not in (None, size):
        raise _unreadable(f"output {info!r} of {size} bytes")
    room = bytearray(size)
    await reply.readinto(room)
    if expected is None and elements_of(room) != count_of(info.fact):
        raise _unreadable(f"output {info!r} with another number of elements")
    return Tensor(info, room)


def _info(output: Mapping[str, Any]) -> TensorInfo:
    shape = output.get("shape")
    if not isinstance(shape, list) or len(shape) > MOST_DIMENSIONS:
        raise _unreadable("no shape, or one of too many dimensions")
    if not all(type(d) is int and 0 <= d < 1 << 63 for d in shape):
        raise _unreadable("a shape whose dimensions are no sizes")
    return TensorInfo(shape, datatype_of(output.get("datatype")), str(output.get("name")))


def _unreadable(seen: str) -> BlindBoxError:
    return BlindBoxError("the box's answer cannot be read", seen=seen)
