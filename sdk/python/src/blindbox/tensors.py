"""Tensors: what a model takes and gives, as lists, numpy arrays or torch tensors.

numpy and torch are used where the caller has them, and never needed. Elements travel as
bytes (the binary tensor extension of the Open Inference Protocol), so that an array is
sent from where it lies.
"""

from __future__ import annotations

import os
import struct
import sys
from enum import Enum
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional, Sequence, Tuple, Union

from .errors import UsageError, WrongType

if TYPE_CHECKING:
    import numpy
    import torch

Buffer = Union[bytes, bytearray, memoryview]

MOST_DIMENSIONS = 64  # as many as numpy has

_TAKEN = "a number, lists of numbers, a numpy array, a torch tensor or a typed buffer"


class ModelDatumType(str, Enum):
    """Types of elements. The value is the protocol's name."""

    F32 = "FP32"
    F64 = "FP64"
    I32 = "INT32"
    I64 = "INT64"
    U32 = "UINT32"
    U64 = "UINT64"
    U8 = "UINT8"
    U16 = "UINT16"
    I8 = "INT8"
    I16 = "INT16"
    Bool = "BOOL"
    F16 = "FP16"
    BF16 = "BF16"
    Bytes = "BYTES"


# Of each type: numpy's name, and struct's letter. BF16 is in neither.
_FORMS: Dict[str, Tuple[str, str]] = {
    "FP32": ("float32", "f"),
    "FP64": ("float64", "d"),
    "FP16": ("float16", "e"),
    "INT8": ("int8", "b"),
    "INT16": ("int16", "h"),
    "INT32": ("int32", "i"),
    "INT64": ("int64", "q"),
    "UINT8": ("uint8", "B"),
    "UINT16": ("uint16", "H"),
    "UINT32": ("uint32", "I"),
    "UINT64": ("uint64", "Q"),
    "BOOL": ("bool", "?"),
    "BF16": ("bfloat16", "H"),
}
_NAMED = {name: datatype for datatype, (name, _) in _FORMS.items()}
_SHORT = {kind.name.lower(): kind.value for kind in ModelDatumType}


def datatype_of(dtype: Any) -> str:
    """The protocol's name of a type: ``ModelDatumType.F32``, "f32", "float32", "FP32", or a
    dtype of numpy or torch."""
    if isinstance(dtype, ModelDatumType):
        return dtype.value
    name = str(getattr(dtype, "name", None) or getattr(dtype, "__name__", None) or dtype).rpartition(".")[2]
    for known in (
        _NAMED.get(name.lower()),
        _SHORT.get(name.lower()),
        name if name in _FORMS or name == "BYTES" else None,
    ):
        if known:
            return known
    raise UsageError(
        f"{dtype!r} is no type of tensors", expected=", ".join(sorted(_NAMED)) + " or BYTES", nothing_sent=True
    )


class TensorInfo:
    """The name, type and shape of a tensor."""

    def __init__(self, fact: Sequence[int], datum_type: Any, node_name: Optional[str] = None) -> None:
        self.fact: List[int] = list(fact)
        self.datum_type = ModelDatumType(datatype_of(datum_type))
        self.node_name = node_name

    def __repr__(self) -> str:
        return f"{self.node_name or ''} {self.datum_type.value}{self.fact}".strip()


class Tensor:
    """A tensor with its elements as bytes, little-endian and in row-major order."""

    def __init__(self, info: TensorInfo, bytes_data: Buffer) -> None:
        self.info = info
        self.bytes_data = bytes_data

    @property
    def name(self) -> str:
        return self.info.node_name or ""

    @property
    def shape(self) -> Tuple[int, ...]:
        return tuple(self.info.fact)

    @property
    def datum_type(self) -> ModelDatumType:
        return self.info.datum_type

    def __repr__(self) -> str:
        return f"<Tensor {self.info!r}>"

    def as_flat(self) -> List[Any]:
        """The elements as one list: numbers, bools, or bytes."""
        datatype = self.datum_type.value
        if datatype == "BYTES":
            return list(_elements(self.bytes_data))
        letter = _FORMS[datatype][1]
        values = list(struct.unpack(f"<{count_of(self.shape)}{letter}", self.bytes_data))
        return [_from_bf16(v) for v in values] if datatype == "BF16" else values

    def as_strings(self) -> List[str]:
        """The elements of a BYTES tensor as text."""
        return [element.decode("utf-8") for element in self.as_flat()]

    def as_numpy(self) -> "numpy.ndarray[Any, Any]":
        """A numpy array over the same bytes. BYTES are objects; BF16 needs ml_dtypes."""
        numpy = _library("numpy", "numpy")
        datatype = self.datum_type.value
        if datatype == "BYTES":
            objects = numpy.empty(count_of(self.shape), dtype=object)
            objects[:] = self.as_flat()
            return _shaped(objects, self.shape)
        if datatype == "BF16":
            dtype = _library("ml_dtypes", "ml_dtypes").bfloat16
        else:
            dtype = numpy.dtype(_FORMS[datatype][0]).newbyteorder("<")
        return _shaped(numpy.frombuffer(self.bytes_data, dtype=dtype), self.shape)

    def as_torch(self) -> "torch.Tensor":
        """A torch tensor over the same bytes."""
        torch = _library("torch", "torch")
        datatype = self.datum_type.value
        if datatype == "BYTES":
            raise UsageError("torch has no tensors of bytes: use as_flat()")
        dtype = getattr(torch, _FORMS[datatype][0], None)
        if dtype is None:
            raise UsageError(f"this torch has no {_FORMS[datatype][0]}: use as_numpy()")
        if not self.bytes_data:
            return torch.empty(self.shape, dtype=dtype)
        return torch.frombuffer(self.bytes_data, dtype=dtype).reshape(self.shape)


def _shaped(array: "numpy.ndarray[Any, Any]", shape: Tuple[int, ...]) -> "numpy.ndarray[Any, Any]":
    return array.reshape(shape)


def tensor(name: str, value: Any, datatype: Optional[str] = None, shape: Optional[Sequence[int]] = None) -> Tensor:
    """Makes a tensor of a list, a numpy array, a torch tensor, a buffer with a type, text,
    bytes, or the content of a file. datatype and shape are for values that do not say."""
    if isinstance(value, Tensor):
        return Tensor(TensorInfo(value.shape, value.datum_type, name), value.bytes_data)
    shape = None if shape is None else shape_of(name, shape)
    array = None if datatype == "BYTES" and isinstance(value, memoryview) else _as_array(name, value)
    if array is None and datatype == "BYTES":
        return _bytes_tensor(name, value, shape)
    found, dims, data = array or _from_list(name, value, datatype)
    if shape is not None:
        if count_of(shape) != count_of(dims):
            raise UsageError(
                f"{name or 'tensor'}: {count_of(dims)} elements, expected shape {list(shape)}", nothing_sent=True
            )
        dims = tuple(shape)
    return Tensor(TensorInfo(dims, found, name), data)


def shape_of(name: str, shape: Any) -> Tuple[int, ...]:
    """A shape that a caller has given: integers, of Python or numpy."""
    try:
        dims = tuple(d.__index__() for d in shape)
    except (TypeError, AttributeError):
        raise WrongType(
            f"{name or 'tensor'}: shape {shape!r}", expected="a list of integers, such as [1, 30]", nothing_sent=True
        ) from None
    if len(dims) > MOST_DIMENSIONS or any(d < 0 for d in dims):
        raise UsageError(f"{name or 'tensor'}: shape {list(dims)}", expected="sizes from 0", nothing_sent=True)
    return dims


def _as_array(name: str, value: Any) -> Optional[Tuple[str, Tuple[int, ...], Buffer]]:
    """What has a type and a shape of its own; None for all else."""
    torch, numpy = sys.modules.get("torch"), sys.modules.get("numpy")
    if torch is not None and isinstance(value, torch.Tensor):
        return _from_torch(torch, name, value)
    if numpy is not None and isinstance(value, (numpy.ndarray, numpy.generic)):
        if isinstance(value, numpy.ma.MaskedArray) and numpy.ma.is_masked(value):
            raise WrongType(
                f"{name or 'tensor'}: an array with masked elements, which a model cannot see",
                fix="Say what stands in their place: array.filled(VALUE).",
                nothing_sent=True,
            )
        return _from_numpy(numpy, numpy.asarray(value))
    if isinstance(value, (str, bytes, bytearray, list, tuple, int, float, os.PathLike)):
        return None
    try:
        view = memoryview(value)
    except TypeError:
        return None
    return _from_buffer(view)


def _from_torch(torch: Any, name: str, value: Any) -> Tuple[str, Tuple[int, ...], Buffer]:
    datatype, shape = datatype_of(value.dtype), tuple(value.shape)
    if value.layout is not torch.strided or value.is_meta:
        kind = "without data" if value.is_meta else f"of layout {value.layout}"
        raise WrongType(f"{name or 'tensor'}: a torch tensor {kind}", expected="a dense one", nothing_sent=True)
    value = value.detach().cpu().contiguous()
    if datatype == "BF16":
        value = value.view(torch.int16)
    return datatype, shape, _bytes_of(value.numpy())


def _from_numpy(numpy: Any, value: Any) -> Tuple[str, Tuple[int, ...], Buffer]:
    shape = tuple(value.shape)
    if value.dtype.kind in "OSU":
        return "BYTES", shape, _joined(value.reshape(-1).tolist())
    datatype = datatype_of(value.dtype)
    if datatype != "BF16":
        value = value.astype(value.dtype.newbyteorder("<"), copy=False)
    return datatype, shape, _bytes_of(numpy.ascontiguousarray(value))


def _bytes_of(array: Any) -> Buffer:
    """The bytes of a contiguous numpy array, where they lie."""
    return memoryview(array.reshape(-1).view("u1"))


def _from_buffer(view: memoryview) -> Tuple[str, Tuple[int, ...], Buffer]:
    """array.array and other typed buffers."""
    letter = view.format.lstrip("@=<")
    kind = {"f": "FP", "d": "FP", "e": "FP", "?": "BOOL"}.get(letter, "INT" if letter.islower() else "UINT")
    datatype = kind if kind == "BOOL" else f"{kind}{8 * view.itemsize}"
    if datatype not in _FORMS or sys.byteorder != "little" or letter not in "fde?bBhHiIlLqQ":
        raise UsageError(f"elements of the form {view.format!r} are none of a tensor", nothing_sent=True)
    return datatype, tuple(view.shape or ()), view.cast("B") if view.nbytes and view.c_contiguous else view.tobytes()


def _from_list(name: str, value: Any, datatype: Optional[str]) -> Tuple[str, Tuple[int, ...], Buffer]:
    if datatype is None:
        what = f"no input {name!r} of the model is known, and" if name else "a tensor:"
        expected = "a name that the model has, or dtypes="
        raise UsageError(f"{what} the elements have no type", expected=expected, nothing_sent=True)
    flat: List[Any] = []
    dims = _flatten(name, value, flat)
    try:
        if datatype == "BF16":
            flat = [_to_bf16(v) for v in flat]
        if datatype == "BOOL" and not all(v in (0, 1) for v in flat):  # struct takes whatever is true
            raise struct.error
        return datatype, dims, struct.pack(f"<{len(flat)}{_FORMS[datatype][1]}", *flat)
    except (struct.error, OverflowError, TypeError) as e:
        raise _another_type(name, datatype, flat, e) from None


def _another_type(name: str, datatype: str, flat: Sequence[Any], e: Exception) -> UsageError:
    """Says which element it is that is none of this type."""
    what = f"{name or 'tensor'}: elements of another type than {datatype}"
    for v in flat:
        if not _is_number(v):
            kind = repr(v) if v is None else f"of type {type(v).__name__}"
            return WrongType(f"{what}: {kind}", expected=_TAKEN, nothing_sent=True)
    return UsageError(f"{what}: {e}" if str(e) else f"{what}, which has two values", nothing_sent=True)


def _is_number(value: Any) -> bool:
    """True for Python's and numpy's numbers, and their kind: fractions and decimals."""
    return not isinstance(value, complex) and (hasattr(value, "__float__") or hasattr(value, "__index__"))


def nested(value: Any) -> Tuple[int, ...]:
    """The shape of lists in lists, by the first of each."""
    dims: List[int] = []
    while isinstance(value, (list, tuple)) and len(dims) <= MOST_DIMENSIONS:
        dims.append(len(value))
        if not value:
            break
        value = value[0]
    return (*dims, *getattr(value, "shape", ()))


def _flatten(name: str, value: Any, into: List[Any], depth: int = 0) -> Tuple[int, ...]:
    """Puts the elements of lists in lists into one; all of a depth must be of a length. Rows may
    be arrays."""
    if depth > MOST_DIMENSIONS:
        raise UsageError(f"{name or 'tensor'}: lists in lists, {depth} deep", nothing_sent=True)
    if not isinstance(value, (list, tuple)):
        is_array = hasattr(value, "tolist") and hasattr(value, "shape") and not isinstance(value, memoryview)
        rows = value.tolist() if is_array else value
        if isinstance(rows, list):
            _flatten(name, rows, into, depth)
            return tuple(value.shape)
        into.append(rows)
        return ()
    if not any(isinstance(v, (list, tuple)) or hasattr(v, "shape") for v in value):
        into.extend(value)
        return (len(value),)
    shapes = {_flatten(name, v, into, depth + 1) for v in value}
    if len(shapes) > 1:
        raise UsageError(
            f"{name or 'tensor'}: lists of different lengths beside each other: {sorted(shapes)}", nothing_sent=True
        )
    return (len(value), *shapes.pop())


def _bytes_tensor(name: str, value: Any, shape: Optional[Sequence[int]]) -> Tensor:
    """Text, bytes and files, one or lists of them."""
    flat: List[Any] = []
    dims = _flatten(name, value, flat)
    if shape is not None:
        dims = tuple(shape)
    if count_of(dims) != len(flat):
        raise UsageError(f"{name}: {len(flat)} elements, expected shape {list(dims)}", nothing_sent=True)
    return Tensor(TensorInfo(dims, "BYTES", name), _joined(flat))


def _joined(values: Sequence[Any]) -> bytes:
    """Elements of a BYTES tensor, each behind its length."""
    parts: List[bytes] = []
    for v in values:
        data = _content(v)
        parts += [struct.pack("<I", len(data)), data]
    return b"".join(parts)


def _content(value: Any) -> bytes:
    """Of text, bytes, the path of a file, or a file that is open for reading bytes."""
    if isinstance(value, os.PathLike):
        with open(value, "rb") as f:
            return f.read()
    if hasattr(value, "read"):
        value = value.read()
    if isinstance(value, str):
        return value.encode("utf-8")
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise WrongType(
        f"{type(value).__name__} as an element of a BYTES tensor",
        expected="str, bytes, a Path or a file",
        nothing_sent=True,
    )


def _elements(data: Buffer) -> Iterator[bytes]:
    view = memoryview(data)
    return (bytes(view[at : at + size]) for at, size in _places(view))


def elements_of(data: Buffer) -> int:
    """How many elements a BYTES tensor has."""
    return sum(1 for _ in _places(memoryview(data)))


def _places(view: memoryview) -> Iterator[Tuple[int, int]]:
    """Where each element begins, and its size."""
    at = 0
    while at < len(view):
        if len(view) - at < 4:
            raise ValueError("a BYTES tensor ends in an element")
        (size,) = struct.unpack_from("<I", view, at)
        at += 4
        if size > len(view) - at:
            raise ValueError("a BYTES tensor ends in an element")
        yield at, size
        at += size


def size_of(datatype: str, shape: Sequence[int]) -> Optional[int]:
    """How many bytes a tensor has; None for BYTES."""
    return None if datatype == "BYTES" else count_of(shape) * struct.calcsize("<" + _FORMS[datatype][1])


def count_of(shape: Sequence[int]) -> int:
    """How many elements a shape has."""
    n = 1
    for d in shape:
        n *= d
    return n


def _to_bf16(value: float) -> int:
    """The upper half of a float32, rounded to the nearest, ties to even."""
    bits = int(struct.unpack("<I", struct.pack("<f", value))[0])
    if bits & 0x7FFFFFFF > 0x7F800000:
        return bits >> 16 | 0x40  # a NaN stays one
    return (bits + 0x7FFF + (bits >> 16 & 1)) >> 16


def _from_bf16(bits: int) -> float:
    return float(struct.unpack("<f", struct.pack("<I", bits << 16))[0])


def _library(module: str, package: str) -> Any:
    try:
        return __import__(module)
    except ImportError as e:
        raise ImportError(f"this needs {package}: pip install {package}; as_flat() needs nothing") from e
