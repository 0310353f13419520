"""Two models. One runs until it is told to stop: a thousand products of matrices of 2,000 rows,
asked for with two numbers. One is large. Written by hand: the tests have no library for ONNX."""

from __future__ import annotations

from typing import List


def _number(n: int) -> bytes:
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def _int(field: int, n: int) -> bytes:
    return _number(field << 3) + _number(n)


def _bytes(field: int, data: bytes) -> bytes:
    return _number(field << 3 | 2) + _number(len(data)) + data


def _node(kind: str, inputs: List[str], output: str) -> bytes:
    names = b"".join(_bytes(1, name.encode()) for name in inputs)
    return _bytes(1, names + _bytes(2, output.encode()) + _bytes(4, kind.encode()))


def _value(field: int, name: str, kind: int, *dims: int) -> bytes:
    shape = _bytes(2, b"".join(_bytes(1, _int(1, d)) for d in dims)) if dims else b""
    return _bytes(field, _bytes(1, name.encode()) + _bytes(2, _bytes(1, _int(1, kind) + shape)))


def slow() -> bytes:
    nodes = _node("ConstantOfShape", ["s"], "v0")
    nodes += b"".join(_node("MatMul", [f"v{i}", f"v{i}"], f"v{i + 1}") for i in range(1000))
    graph = nodes + _bytes(2, b"slow") + _value(11, "s", 7, 2) + _value(12, "v1000", 1)
    return _int(1, 8) + _bytes(7, graph) + _bytes(8, _int(2, 17))


INPUT = {"s": [2000, 2000]}


def large(size: int) -> bytes:
    """A model of which most are weights that nothing uses."""
    weights = _int(1, size // 4) + _int(2, 1) + _bytes(8, b"w") + _bytes(9, bytes(size))
    return _int(1, 8) + _bytes(7, _bytes(5, weights) + _bytes(2, b"large")) + _bytes(8, _int(2, 17))
