"""Tensors: what goes in comes out."""

from __future__ import annotations

import array
import copy
import io
import json
import math
import pathlib
import pickle
import sys
from decimal import Decimal
from fractions import Fraction
from http.client import HTTPMessage
from typing import Any, Dict, Optional

import numpy
import pytest

import blindbox
from blindbox import ModelDatumType, Tensor, TensorInfo, _infer, _wire, errors, models
from blindbox._way import Blocked, finished
from blindbox.tensors import datatype_of, nested, size_of, tensor

NUMBERS = ["float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers(name: str) -> None:
    a = numpy.arange(6).reshape(2, 3).astype(name)
    t = tensor("x", a)
    assert t.datum_type.value == datatype_of(name) == datatype_of(a.dtype) and t.shape == (2, 3) and t.name == "x"
    assert (t.as_numpy() == a).all() and t.as_numpy().dtype == a.dtype and t.as_flat() == a.reshape(-1).tolist()
    assert numpy.shares_memory(numpy.frombuffer(t.bytes_data, dtype=name), a), "an array is not copied"
    from_list = tensor("x", a.tolist(), datatype_of(name))
    assert bytes(from_list.bytes_data) == bytes(t.bytes_data) == a.astype(a.dtype.newbyteorder("<")).tobytes()
    assert (tensor("x", a.astype(a.dtype.newbyteorder(">"))).as_numpy() == a).all()
    assert (tensor("x", a.T).as_numpy() == a.T).all() and tensor("x", a, shape=[6]).shape == (6,)
    assert tensor("x", a[:0]).as_flat() == [] and tensor("x", a[:0]).as_numpy().shape == (0, 3)
    assert tensor("x", a[1, 2]).shape == () and tensor("x", a[1, 2]).as_flat() == [5]
    assert size_of(t.datum_type.value, (2, 3)) == a.nbytes and tensor("y", t).name == "y"


def test_bools_and_bytes() -> None:
    t = tensor("b", numpy.array([True, False]))
    assert t.datum_type == ModelDatumType.Bool and t.as_flat() == [True, False] and bytes(t.bytes_data) == b"\x01\x00"
    s = tensor("s", ["é", b"\xff\x00", ""], "BYTES")
    assert s.as_flat() == ["é".encode(), b"\xff\x00", b""] and s.shape == (3,) and s.as_numpy().tolist() == s.as_flat()
    assert tensor("s", numpy.array([["a", "bc"]], dtype=object)).shape == (1, 2)
    assert tensor("s", numpy.array(["a", "bc"])).as_strings() == ["a", "bc"]
    assert tensor("s", "whole", "BYTES").shape == ()
    for bad in (3, [1.5], [None]):
        with pytest.raises(blindbox.UsageError, match="str, bytes, a Path or a file"):
            tensor("s", bad, "BYTES")
    for cut in (b"\x01", b"\x05\x00\x00\x00a"):
        with pytest.raises(ValueError, match="ends in an element"):
            Tensor(TensorInfo([1], "BYTES"), cut).as_flat()


def test_bfloat16() -> None:
    values = [0.0, 1.0, -2.5, 3.140625, math.inf, 1e38]
    t = tensor("x", values, "BF16")
    assert t.as_flat()[:5] == values[:5] and math.isclose(t.as_flat()[5], 1e38, rel_tol=0.01)
    assert math.isnan(tensor("x", [math.nan], "BF16").as_flat()[0])
    assert tensor("x", [1.00390625, 1.01171875], "BF16").as_flat() == [1.0, 1.015625], "ties to even"
    ml_dtypes = pytest.importorskip("ml_dtypes")
    a = numpy.array(values, dtype=numpy.float32).astype(ml_dtypes.bfloat16)
    assert bytes(tensor("x", a).bytes_data) == bytes(t.bytes_data) and (t.as_numpy() == a).all()


def test_buffers() -> None:
    for letter, datatype in zip(
        "fdbBhHiIqQ", ("FP32", "FP64", "INT8", "UINT8", "INT16", "UINT16", "INT32", "UINT32", "INT64", "UINT64")
    ):
        t = tensor("x", array.array(letter, [1, 2, 3]))
        assert (t.datum_type.value, t.as_flat()) == (datatype, [1, 2, 3])
    assert tensor("x", memoryview(bytes(6)).cast("B", (2, 3))).shape == (2, 3)
    with pytest.raises(blindbox.UsageError, match="none of a tensor"):
        tensor("x", memoryview(bytes(3)).cast("c"))


def test_lists() -> None:
    assert tensor("x", [[1, 2], [3, 4]], "INT64").shape == (2, 2) and tensor("x", 7, "INT64").shape == ()
    assert tensor("x", [], "FP32").shape == (0,) and tensor("x", [[], []], "FP32").shape == (2, 0)
    assert nested([[1, 2, 3]]) == (1, 3) and nested(5) == () and nested([]) == (0,)
    for bad in ([[1], [2, 3]], [1, [2]], [[1], 2], [[[1]], [[1, 2]]]):
        with pytest.raises(blindbox.UsageError, match="different lengths"):
            tensor("x", bad, "INT64")
    for value, datatype in (
        (2**63, "INT64"),
        (-1, "UINT8"),
        (1.5, "INT32"),
        ("a", "FP32"),
        (1e300, "FP32"),
        (None, "FP64"),
    ):
        with pytest.raises(blindbox.UsageError, match="of another type"):
            tensor("x", [value], datatype)
    with pytest.raises(blindbox.UsageError, match="no input 'other' of the model is known") as refused:
        _infer.inputs_of({"other": [1]}, None, None, [TensorInfo([1], ModelDatumType.F32, "x")])
    assert "a name that the model has, or dtypes=" in str(refused.value) and refused.value.nothing_sent
    with pytest.raises(blindbox.UsageError, match="dtypes"):
        tensor("x", [1.0])
    with pytest.raises(blindbox.UsageError, match="4 elements"):
        tensor("x", [1, 2, 3, 4], "INT8", [3])


@pytest.mark.parametrize(
    "given", [ModelDatumType.F32, "f32", "F32", "float32", "FP32", numpy.float32, numpy.dtype("float32")]
)
def test_types(given: Any) -> None:
    assert datatype_of(given) == "FP32"


@pytest.mark.parametrize("given", ["complex64", "", "bytes32", None, object(), 3])
def test_no_types(given: Any) -> None:
    with pytest.raises(blindbox.UsageError, match="no type of tensors"):
        datatype_of(given)


def test_torch() -> None:
    torch = pytest.importorskip("torch")
    for name in ("float32", "float64", "float16", "bfloat16", "int8", "int16", "int32", "int64", "uint8", "bool"):
        a = torch.arange(6).reshape(2, 3).to(getattr(torch, name))
        t = tensor("x", a)
        assert t.datum_type.value == datatype_of(name) == datatype_of(a.dtype) and t.shape == (2, 3)
        back = Tensor(t.info, bytearray(t.bytes_data)).as_torch()
        assert (
            back.dtype == a.dtype
            and torch.equal(back, a)
            and torch.equal(Tensor(tensor("x", a.T).info, bytearray(tensor("x", a.T).bytes_data)).as_torch(), a.T)
        )
    (rows,) = _infer.inputs_of([torch.ones(2), torch.zeros(2)], None, None, [info("x", "FP32", -1, 2)])
    assert rows.shape == (2, 2) and rows.as_flat() == [1.0, 1.0, 0.0, 0.0]
    for other in (torch.zeros(1, 2).to_sparse(), torch.empty(1, device="meta")):
        with pytest.raises(TypeError, match="a dense one"):
            tensor("x", other)
    grads = torch.ones(2, requires_grad=True)
    assert tensor("x", grads).as_flat() == [1.0, 1.0]
    assert tuple(Tensor(TensorInfo([0, 3], "FP32"), bytearray()).as_torch().shape) == (0, 3)
    with pytest.raises(blindbox.UsageError):
        tensor("s", ["a"], "BYTES").as_torch()


@pytest.mark.parametrize(
    "value, want",
    [
        ([numpy.ones(2, "f4"), numpy.zeros(2, "f4")], [[1, 1], [0, 0]]),  # rows of a batch
        ([numpy.ones(2, "f4")], [[1, 1]]),
        ([numpy.ones((3, 2), "f4")], [[1, 1]] * 3),
        ([numpy.float32(1), numpy.int64(0)], [[1, 0]]),
        ((1.0, 0), [[1, 0]]),
        ([True, False], [[1, 0]]),
        ([Fraction(1, 2), Decimal("0.25")], [[0.5, 0.25]]),
        ([], numpy.zeros((0, 2))),
        (numpy.zeros((0, 2), "f4"), numpy.zeros((0, 2))),
        (numpy.arange(16, dtype="f4").reshape(4, 4)[::-2, ::3], [[12, 15], [4, 7]]),
        (numpy.asfortranarray(numpy.arange(4, dtype=">f4").reshape(2, 2)), [[0, 1], [2, 3]]),
        (numpy.broadcast_to(numpy.float32(7), (2, 2)), [[7, 7], [7, 7]]),
        (numpy.ma.array([[1, 2]], dtype="f4"), [[1, 2]]),
        (numpy.ones((1, 2), "f4").data, [[1, 1]]),
    ],
)
def test_what_is_taken(value: Any, want: Any) -> None:
    (t,) = _infer.inputs_of(value, None, None, [info("x", "FP32", -1, 2)])
    assert t.datum_type == ModelDatumType.F32
    assert (t.as_numpy() == numpy.array(want)).all() and t.as_numpy().shape == numpy.shape(want)


@pytest.mark.parametrize("value", [3.0, numpy.float32(3), numpy.array(3, "f4"), [numpy.array(3, "f4")]])
def test_of_no_dimensions(value: Any) -> None:
    (t,) = _infer.inputs_of(value, None, None, [info("x", "FP32")])
    assert t.shape == () and t.as_flat() == [3.0]


@pytest.mark.parametrize(
    "value, text",
    [
        (range(4), "of type range"),
        ((v for v in [1.0]), "of type generator"),
        ({1.0}, "of type set"),
        (None, "None"),
        ("1.0", "of type str"),
        (b"12345678", "of type bytes"),
        (pathlib.Path("x"), "of type PosixPath"),
        ([1j, 2], "of type complex"),
        ([[1, None]], "None"),
        (numpy.ma.array([[1, 2]], mask=[[True, False]], dtype="f4"), "masked"),
    ],
)
def test_what_is_not_taken(value: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text) as refused:
        _infer.inputs_of(value, None, None, [info("x", "FP32", -1, 2)])
    assert isinstance(refused.value, blindbox.WrongType) and refused.value.nothing_sent


def test_slips() -> None:
    """What would be something else than was meant is refused."""
    within: Any = []
    within.append(within)
    for kind, text, value, dtypes, shapes in (
        (blindbox.UsageError, "65 deep", within, None, None),
        (blindbox.WrongType, "shape '12'", [1, 2], None, "12"),
        (blindbox.WrongType, "shape 1.0", [1, 2], None, [1.0, 2.0]),
        (blindbox.UsageError, "sizes from 0", [1, 2], None, [[-1, 2]]),
        (blindbox.UsageError, "shapes for 'y'", {"x": [1, 2]}, None, {"y": [1, 2]}),
        (blindbox.UsageError, "dtypes for 'y'", {"x": [1, 2]}, {"y": "f32"}, None),
    ):
        with pytest.raises(kind, match=text):
            _infer.inputs_of(value, dtypes, shapes, [info("x", "FP32", -1, 2)])
    for flags in ([0, 2], [1.5], [math.nan]):
        with pytest.raises(blindbox.UsageError, match="two values"):
            tensor("x", flags, "BOOL")
    with pytest.raises(blindbox.WrongType, match="of type str"):
        tensor("x", ["True", ""], "BOOL")
    for shape in (numpy.array([1, 2]), [numpy.int64(1), 2], (1, 2), [[1, 2]]):
        assert _infer.inputs_of([1, 2], None, shape, [info("x", "FP32", -1, 2)])[0].shape == (1, 2)
    a, b = _infer.inputs_of({"b": [1], "a": [2]}, None, None, [info("a", "FP32", -1), info("b", "FP32", -1)])
    assert (a.name, a.as_flat(), b.name, b.as_flat()) == ("b", [1.0], "a", [2.0]), "names count, and no order"


def test_copies() -> None:
    """What comes back can be kept, sent to another process, and copied."""
    t = tensor("x", numpy.ones((1, 2), "f4"))
    t = Tensor(t.info, bytes(t.bytes_data))
    for same in (pickle.loads(pickle.dumps(t)), copy.deepcopy(t), copy.copy(t)):
        assert same.name == "x" and same.shape == (1, 2) and same.as_flat() == [1.0, 1.0]
    answer = blindbox.RunModelResponse([Tensor(t.info, bytearray(8))], blindbox.Receipt("a.b.c", b"", b"q"))
    same_answer = pickle.loads(pickle.dumps(answer))
    assert same_answer["x"].as_flat() == [0.0, 0.0] and same_answer.receipt == answer.receipt
    for error in (blindbox.WrongType("t", seen="s"), blindbox.NotFound("n", status=404), blindbox.ReceiptError("r")):
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error) and str(again) == str(error) and vars(again) == vars(error)


def test_without_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    t = tensor("x", [1.0], "FP32")
    for name in ("numpy", "torch"):
        monkeypatch.setitem(sys.modules, name, None)  # as if it could not be imported
        with pytest.raises(ImportError, match=f"pip install {name}"):
            getattr(t, "as_" + name)()
    assert t.as_flat() == [1.0] and tensor("x", [2.0], "FP32").as_flat() == [2.0]


def info(name: str, datatype: str, *shape: int) -> TensorInfo:
    return TensorInfo(shape, datatype, name)


def test_pipelines(tmp_path: pathlib.Path) -> None:
    """What people have: one text, one file, or several."""
    photo = tmp_path / "photo.png"
    photo.write_bytes(b"\x89PNG")
    for value, want in (
        ("a sentence", [b"a sentence"]),
        (["one", "two"], [b"one", b"two"]),
        (photo, [b"\x89PNG"]),
        ([photo, b"raw"], [b"\x89PNG", b"raw"]),
        (bytearray(b"raw"), [b"raw"]),
        (memoryview(b"raw"), [b"raw"]),
        ([memoryview(b"raw"), "text"], [b"raw", b"text"]),
        (pathlib.PurePath(photo), [b"\x89PNG"]),
        (numpy.array(["x"], dtype=object), [b"x"]),
    ):
        (t,) = _infer.inputs_of(value, None, None, [info("text", "BYTES", -1)])
        assert t.as_flat() == want and t.shape == (len(want),) and t.name == "text"
        (t,) = _infer.inputs_of({"text": value}, None, None, [info("text", "BYTES", -1)])
        assert t.as_flat() == want
    for file, content in ((io.BytesIO(b"raw"), b"raw"), ([io.StringIO("é")], "é".encode())):
        (t,) = _infer.inputs_of(file, None, None, [info("text", "BYTES", -1)])
        assert t.as_flat() == [content]
    a, b = _infer.inputs_of(["question", "text"], None, None, [info("q", "BYTES", -1), info("t", "BYTES", -1)])
    assert (a.as_flat(), b.as_flat()) == ([b"question"], [b"text"])


def test_places() -> None:
    two = [info("a", "INT64", -1, 2), info("b", "FP32")]
    a, b = _infer.inputs_of([[1, 2, 3, 4], 5.0], None, None, two)
    assert (a.shape, a.as_flat(), b.shape, b.as_flat()) == ((2, 2), [1, 2, 3, 4], (), [5.0])
    a, b = _infer.inputs_of([[1, 2], 5], ["i64", "f32"], [[1, 2], []], two)
    assert (a.shape, b.shape, b.datum_type.value) == ((1, 2), (), "FP32")
    a, b = _infer.inputs_of({"a": [1, 2], "b": 5}, {"a": "i64"}, {"a": [2, 1]}, two)
    assert a.shape == (2, 1)
    for bad in ([[1]], 3, [1, 2, 3]):
        with pytest.raises(blindbox.UsageError, match="a list of 2: a, b"):
            _infer.inputs_of(bad, None, None, two)
    for shape in ((-1, -1), (-1, 3), (2, 1)):
        with pytest.raises(blindbox.UsageError, match="flat list"):
            _infer.inputs_of([1, 2, 3, 4], None, None, [info("x", "FP32", *shape)])
    assert _infer.inputs_of([1, 2, 3, 4], None, None, [info("x", "FP32", 2, 2)])[0].shape == (2, 2)
    with pytest.raises(blindbox.UsageError, match="dtypes says"):
        _infer.inputs_of({"a": numpy.array([1])}, {"a": "f32"}, None, None)
    with pytest.raises(blindbox.UsageError, match="without names"):
        _infer.inputs_of([1], None, None, None)


def answered(answer: _wire.Answer) -> Any:
    return finished(_infer.answered(Blocked(answer)))


class Said(_wire.Answer):
    """An answer of a box that says what it likes."""

    def __init__(self, body: bytes, **headers: str) -> None:
        self.status, self._left = 200, body
        self.headers = HTTPMessage()
        for name, value in headers.items():
            self.headers[name.replace("_", "-")] = value

    def whole(self, most: Optional[int] = None) -> bytes:
        return self._left

    def readinto(self, room: Any) -> None:
        room[:], self._left = self._left[: len(room)], self._left[len(room) :]

    def close(self) -> None:
        pass


def binary(output: Dict[str, Any], data: bytes) -> Said:
    head = json.dumps({"outputs": [output]}).encode()
    return Said(
        head + data, Inference_Header_Content_Length=str(len(head)), Content_Length=str(len(head) + len(data))
    )


def of_bytes(shape: Any, size: int = 5) -> Dict[str, Any]:
    return {"name": "label", "datatype": "BYTES", "shape": shape, "parameters": {"binary_data_size": size}}


def plain(**more: Any) -> Said:
    output = {"name": "x", "datatype": "FP32", "shape": [1], "data": [1.0], **more}
    return Said(json.dumps({"outputs": [output]}).encode())


def test_answers() -> None:
    (t,) = answered(binary(of_bytes([1, 1]), b"\x01\0\0\0a"))
    assert t.as_strings() == ["a"] and answered(plain())[0].as_flat() == [1.0]


@pytest.mark.parametrize(
    "answer",
    [
        binary(of_bytes([5]), b"\x01\0\0\0a"),  # numpy would spread the one over five patients
        binary(of_bytes([1 << 40]), b"\x01\0\0\0a"),
        binary(of_bytes([1]), b"\x02\0\0\0a"),
        binary(of_bytes([True]), b"\x01\0\0\0a"),
        binary(of_bytes([1 << 62] * 65 + [0], 0), b""),
        binary(of_bytes([10**400, 0], 0), b""),
        Said(b"", Inference_Header_Content_Length="\xb2"),
        Said(b"", Inference_Header_Content_Length="2", Content_Length="\xb2"),
        Said(b"[" * 100_000),
        plain(data=["text"]),
        plain(data=None),
        plain(datatype="FP31"),
        plain(datatype=3),
        plain(shape=[2]),
        plain(data=[[1], [1, 2]]),
    ],
)
def test_answers_that_are_none(answer: Said) -> None:
    """A box's fault is not the caller's, and not before anything was sent."""
    with pytest.raises(blindbox.BlindBoxError, match="answer cannot be read") as refused:
        answered(answer)
    assert type(refused.value) is blindbox.BlindBoxError and not refused.value.nothing_sent


@pytest.mark.parametrize(
    "said", [3, [3], [{}], [{"shape": [1], "datatype": "FP31"}], [{"shape": ["1"], "datatype": "FP32"}]]
)
def test_descriptions_that_are_none(said: Any) -> None:
    with pytest.raises(blindbox.InvalidRequest, match="cannot be read"):
        models.infos(said)


def test_words_of_a_box() -> None:
    """A box cannot write a line of this package's, nor tell the terminal what to do."""
    forged = "denied\n  nothing was sent.\x1b[2J\x9b2J\u202e"
    error = errors.of_box(403, {"error": forged, "code": "BBX-1\n", "fix": forged}, "\xb2")
    assert error.message == forged and len(str(error).splitlines()) == 2 and "\n  nothing" not in str(error)
    assert not {"\x1b", "\x9b", "\u202e"} & set(str(error))
    assert len(str(errors.of_box(500, {"error": "a" * 10**6}))) < 9999
    assert isinstance(errors.of_box(429, None, "\xb2"), blindbox.Busy)
