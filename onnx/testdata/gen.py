"""Writes operators.jsonl: one small model per line, with inputs and what onnxruntime answers to them.

    pip install onnx==1.23.2 onnxruntime==1.31.1 numpy==2.4.6
    python gen.py            # same bytes every time

A line holds the model in base64, and tensors as {"t": type, "s": shape, "d": elements}.
"""

import base64
import json
import pathlib

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

RNG = np.random.default_rng(1)
CASES = []
IR = {13: 7, 14: 7, 15: 8, 17: 8, 18: 8, 19: 9, 21: 10, 23: 11, 25: 13}
NAMES = {np.dtype(np.float32): "float32", np.dtype(np.int64): "int64", np.dtype(bool): "bool"}


def f32(*shape):
    return np.round(RNG.normal(0, 2, shape), 3).astype(np.float32)


def i64(*shape, low=-5, high=6):
    return RNG.integers(low, high, shape).astype(np.int64)


def flags(*shape):
    return RNG.integers(0, 2, shape).astype(bool)


def text(*values):
    return np.array(values, dtype=object)


def ints(*values):
    return np.array(values, dtype=np.int64)


def element(v):
    if isinstance(v, float) and not np.isfinite(v):
        return str(v)
    return v


def tensor(a):
    a = np.asarray(a)
    if a.dtype == object or a.dtype.kind in "US":
        return {"t": "string", "s": list(a.shape), "d": [str(v) for v in a.ravel()]}
    if a.dtype == np.float32:
        d = [element(float(str(v))) for v in a.ravel()]
    else:
        d = a.ravel().tolist()
    return {"t": NAMES[a.dtype], "s": list(a.shape), "d": d}


def proto_type(a):
    return TensorProto.STRING if a.dtype == object else helper.np_dtype_to_tensor_dtype(a.dtype)


def case(label, op, inputs, opset=17, stored=(), **attrs):
    """One node. Inputs whose index is in stored are constants of the model."""
    inputs = [a if a is None else np.asarray(a) for a in inputs]  # numpy turns rank 0 into numbers
    names = [f"x{i}" if a is not None else "" for i, a in enumerate(inputs)]
    feed = {n: a for i, (n, a) in enumerate(zip(names, inputs)) if a is not None and i not in stored}
    node = helper.make_node(op, names, ["y"], "it", **attrs)
    declared = [helper.make_tensor_value_info(n, proto_type(a), [f"{n}_{i}" for i in range(a.ndim)])
                for n, a in feed.items()]
    weights = [numpy_helper.from_array(inputs[i], names[i]) for i in stored]
    model = helper.make_model(
        helper.make_graph([node], "case", declared, [onnx.ValueInfoProto(name="y")], weights),
        opset_imports=[helper.make_opsetid("", opset)], ir_version=IR[opset])
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph.output[0].type.tensor_type.elem_type
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("y", inferred, None))
    data = model.SerializeToString(deterministic=True)
    by, answer = ask(data, feed)
    CASES.append({"name": f"{op}/{label}/opset{opset}", "by": by, "model": base64.b64encode(data).decode(),
                  "in": {n: tensor(a) for n, a in feed.items()}, "out": tensor(answer)})


def ask(data, feed):
    """onnxruntime's answer; where it lacks the type, that of ONNX's own reference implementation."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        return "onnxruntime", session.run(["y"], feed)[0]
    except onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented:
        return "reference", ReferenceEvaluator(data).run(["y"], feed)[0]


def both(label, op, inputs, stored, **kw):
    """The same node with its parameters fed, and with them in the model."""
    case(label + ", fed", op, inputs, **kw)
    case(label, op, inputs, stored=stored, **kw)


def arithmetic():
    shapes = [("same", (2, 3), (2, 3)), ("row", (4, 3), (3,)), ("column", (4, 3), (4, 1)), ("scalar", (2, 3), ()),
              ("both ways", (3, 1, 2), (1, 4, 2)), ("empty", (0, 3), (3,)), ("rank 0", (), ())]
    for op in ("Add", "Sub", "Mul", "Div"):
        for label, a, b in shapes:
            case(label, op, [f32(*a), f32(*b)])
        case("int64", op, [i64(2, 3), i64(3, low=1, high=4)])
        case("same", op, [f32(2), f32(2)], opset=13)
    case("by zero", "Div", [np.float32([1, -1, 0]), np.float32([0, 0, 0])])
    case("int64 negative", "Div", [ints(-7, 7, -7, 7), ints(2, -2, -2, 2)])
    case("float", "Pow", [np.abs(f32(2, 3)), f32(3)])
    case("int64 exponent", "Pow", [f32(2, 3), ints(0, 2, 3)])
    case("square", "Pow", [f32(5), np.float32(2)])
    for op in ("Max", "Min"):
        case("three", op, [f32(2, 3), f32(3), f32(2, 1)])
        case("one", op, [f32(3)])
        case("int64", op, [i64(4), i64(4)])


def unary():
    x = np.float32([-30, -2.5, -1, -0.0, 0, 1e-6, 0.5, 1, 3, 30])
    for op in ("Relu", "Neg", "Abs", "Sigmoid", "Tanh", "Exp", "Erf", "LeakyRelu", "Identity"):
        case("values", op, [x])
        case("matrix", op, [f32(2, 3)])
        case("infinite", op, [np.float32([np.inf, -np.inf, np.nan])])
    for op in ("Log", "Sqrt", "Reciprocal"):
        case("positive", op, [np.abs(x) + np.float32(0.1)])
        case("edge", op, [np.float32([0, -1, np.inf])])
    case("alpha", "LeakyRelu", [f32(4)], alpha=0.2)
    case("int64", "Neg", [i64(4)])
    case("int64", "Abs", [i64(4)])
    case("int64", "Relu", [i64(4)], opset=14)
    case("string", "Identity", [text("a", "b")])
    both("both", "Clip", [x, np.float32(-1), np.float32(2)], (1, 2))
    both("low", "Clip", [x, np.float32(-1)], (1,))
    case("high", "Clip", [x, None, np.float32(2)])
    case("none", "Clip", [x])
    case("crossed", "Clip", [x, np.float32(2), np.float32(-2)])
    case("int64", "Clip", [i64(5), np.int64(-1), np.int64(2)])


def logic():
    for op in ("Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal"):
        case("float", op, [np.float32([[1, 2, np.nan], [3, 2, 1]]), np.float32([2, 2, 1])])
        case("int64", op, [i64(3, 1), i64(1, 4)])
    case("bool", "Equal", [flags(4), flags(4)])
    case("string", "Equal", [text("a", "b", "c"), text("a", "x", "c")], opset=19)
    for op in ("And", "Or", "Xor"):
        case("row", op, [flags(2, 4), flags(4)])
    case("all", "Not", [flags(5)])
    case("float", "Where", [flags(2, 3), f32(2, 3), f32(3)])
    case("broadcast", "Where", [flags(2, 1), i64(1, 3), np.int64(9)])
    case("string", "Where", [flags(3), text("a", "b", "c"), text("x", "y", "z")])
    case("bool", "Where", [flags(3), flags(3), flags(3)])


def matrix():
    for label, a, b in [("matrices", (3, 4), (4, 2)), ("vectors", (4,), (4,)), ("row", (4,), (4, 2)),
                        ("column", (3, 4), (4,)), ("stack", (2, 3, 4), (2, 4, 5)), ("one for all", (2, 3, 4), (4, 5)),
                        ("stacks both ways", (2, 1, 3, 4), (3, 4, 2)), ("no columns", (3, 0), (0, 2)),
                        ("vector by stack", (4,), (2, 4, 3)), ("large", (9, 33), (33, 17))]:
        case(label, "MatMul", [f32(*a), f32(*b)])
    both("plain", "Gemm", [f32(3, 4), f32(4, 2), f32(2)], (1, 2))
    case("no C", "Gemm", [f32(3, 4), f32(4, 2)])
    case("transposed A", "Gemm", [f32(4, 3), f32(4, 2), f32(3, 2)], transA=1)
    both("transposed B", "Gemm", [f32(3, 4), f32(2, 4), f32(1, 2)], (1, 2), transB=1)
    case("both transposed", "Gemm", [f32(4, 3), f32(2, 4), f32(3, 1)], transA=1, transB=1)
    case("scaled", "Gemm", [f32(3, 4), f32(4, 2), np.float32(1.5)], alpha=0.5, beta=-2.0)
    case("plain", "Gemm", [f32(1, 30), f32(30, 16), f32(16)], opset=13)


def softmax():
    for op in ("Softmax", "LogSoftmax"):
        case("last", op, [f32(2, 3)])
        case("first", op, [f32(3, 2, 2)], axis=0)
        case("middle", op, [f32(2, 3, 2)], axis=-2, opset=13)
        case("large values", op, [np.float32([[1000, 1001, 999]])])
        case("empty", op, [f32(0, 3)])
    for op in ("ArgMax", "ArgMin"):
        case("default", op, [f32(3, 4)])
        case("axis 1", op, [f32(3, 4)], axis=1, keepdims=0)
        case("negative axis", op, [f32(2, 3, 4)], axis=-2)
        case("ties", op, [np.float32([[1, 1, 0], [0, 0, 1]])], axis=1)
        case("ties, last", op, [np.float32([[1, 1, 0], [0, 0, 1]])], axis=1, select_last_index=1)
        case("int64", op, [i64(2, 5)], axis=1, opset=13)


def reduce():
    for op in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin"):
        case("all", op, [f32(2, 3)], opset=13)
        if op == "ReduceSum":
            both("axis", op, [f32(2, 3, 4), ints(1)], (1,), opset=13)
        else:
            case("axis", op, [f32(2, 3, 4)], axes=[1], opset=13)
            case("axes", op, [f32(2, 3, 4)], axes=[0, -1], keepdims=0, opset=17)
        both("axes", op, [f32(2, 3, 4), ints(0, -1)], (1,), opset=18, keepdims=0)
        both("keep", op, [f32(2, 3, 4), ints(-1)], (1,), opset=18)
        case("no axes", op, [f32(2, 3)], opset=18)
        case("no axes, nothing", op, [f32(2, 3), ints()], stored=(1,), opset=18, noop_with_empty_axes=1)
        case("rank 0", op, [f32()], opset=18)
    for op in ("ReduceSum", "ReduceMax", "ReduceMin"):
        case("int64", op, [i64(3, 4), ints(1)], stored=(1,), opset=18)
    case("empty", "ReduceSum", [f32(0, 3), ints(0)], stored=(1,), opset=18)


def shape():
    for label, src, want, kw in [("plain", (2, 6), (3, 4), {}), ("minus one", (2, 6), (4, -1), {}),
                                 ("copy", (2, 6), (0, 3, 2), {}), ("to scalar", (1, 1), (), {}),
                                 ("from scalar", (), (1, 1), {}), ("empty", (0, 4), (2, 0, 3), {"allowzero": 1}),
                                 ("copy and minus one", (2, 3, 4), (0, -1), {})]:
        both(label, "Reshape", [f32(*src), ints(*want)], (1,), opset=17, **kw)
    case("bool", "Reshape", [flags(4), ints(2, 2)], opset=13)
    case("default", "Flatten", [f32(2, 3, 4)])
    case("axis 0", "Flatten", [f32(2, 3)], axis=0)
    case("axis 3", "Flatten", [f32(2, 3, 4)], axis=3)
    case("negative", "Flatten", [f32(2, 3, 4)], axis=-1)
    case("rank 0", "Flatten", [f32()], axis=0)
    both("named", "Squeeze", [f32(1, 3, 1), ints(0)], (1,))
    both("negative", "Squeeze", [f32(1, 3, 1), ints(-1)], (1,))
    case("all", "Squeeze", [f32(1, 3, 1)])
    both("first", "Unsqueeze", [f32(2, 3), ints(0)], (1,))
    both("two", "Unsqueeze", [f32(2, 3), ints(-1, 1)], (1,))
    both("rank 0", "Unsqueeze", [f32(), ints(0)], (1,))
    case("whole", "Shape", [f32(2, 0, 4)], opset=13)
    case("part", "Shape", [f32(2, 3, 4)], start=1, end=-1)
    case("clamped", "Shape", [f32(2, 3)], start=-9, end=9)
    case("none", "Shape", [f32(2, 3)], start=2, end=1)


def move():
    case("default", "Transpose", [f32(2, 3, 4)])
    case("given", "Transpose", [f32(2, 3, 4)], perm=[1, 2, 0])
    case("swap", "Transpose", [f32(2, 3, 4, 5)], perm=[0, 2, 1, 3])
    case("rank 0", "Transpose", [f32()])
    case("string", "Transpose", [text("a", "b", "c", "d").reshape(2, 2)])
    case("rows", "Concat", [f32(2, 3), f32(1, 3)], axis=0)
    case("columns", "Concat", [f32(2, 1), f32(2, 2), f32(2, 3)], axis=-1)
    case("one", "Concat", [f32(2)], axis=0)
    case("empty", "Concat", [f32(2, 0), f32(2, 3)], axis=1)
    case("string", "Concat", [text("a"), text("b", "c")], axis=0)
    x = f32(5, 6)
    for label, args in [("plain", ([1], [3])), ("two axes", ([0, 1], [3, 5], [0, 1])), ("step", ([0], [5], [1], [2])),
                        ("negative", ([-3], [-1], [1])), ("backwards", ([4], [-9], [0], [-1])),
                        ("backwards by two", ([-1], [0], [1], [-2])), ("past the end", ([2], [99], [0], [1])),
                        ("nothing", ([3], [1], [0])), ("to max", ([1], [2**63 - 1], [-1])),
                        ("from min", ([-2**63], [2], [0])), ("backwards to min", ([99], [-2**63], [0], [-2])),
                        ("huge step", ([0], [5], [0], [2**62])), ("reordered", ([1, 0], [3, 2], [1, 0]))]:
        both(label, "Slice", [x] + [ints(*a) for a in args], tuple(range(1, len(args) + 1)))
    case("no axes but steps", "Slice", [x, ints(0, 1), ints(4, 6), None, ints(2, 2)])
    case("rows", "Gather", [f32(4, 3), ints(2, 0, -1)])
    case("columns", "Gather", [f32(4, 3), i64(2, 2, low=0, high=3)], axis=1)
    case("scalar index", "Gather", [f32(4, 3), np.int64(1)])
    case("negative axis", "Gather", [f32(2, 3, 4), ints(1, 1)], axis=-2)
    case("no index", "Gather", [f32(4, 3), ints()])
    case("string", "Gather", [text("a", "b", "c"), ints(2, 1)])
    both("grow", "Expand", [f32(3, 1), ints(2, 1, 4)], (1,))
    both("shorter", "Expand", [f32(2, 3), ints(3)], (1,))
    both("scalar", "Expand", [f32(), ints(2, 2)], (1,))


def constant():
    case("tensor", "Constant", [], value=numpy_helper.from_array(f32(2, 2)))
    case("bool tensor", "Constant", [], value=numpy_helper.from_array(flags(3)))
    case("float", "Constant", [], value_float=1.5)
    case("floats", "Constant", [], value_floats=[1.0, 2.0])
    case("int", "Constant", [], value_int=7)
    case("ints", "Constant", [], value_ints=[1, 2, 3])
    case("string", "Constant", [], value_string="hello")
    case("strings", "Constant", [], value_strings=["a", "b"])
    both("zeros", "ConstantOfShape", [ints(2, 3)], (0,))
    both("sevens", "ConstantOfShape", [ints(4)], (0,), value=numpy_helper.from_array(ints(7)))
    case("scalar", "ConstantOfShape", [ints()], value=numpy_helper.from_array(np.array([True])))
    x = np.float32([-2.7, -0.5, 0, 0.5, 2.7, 1e6])
    for to in (TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL):
        case(f"float to {to}", "Cast", [x], to=to)
        case(f"int64 to {to}", "Cast", [i64(5)], to=to)
        case(f"bool to {to}", "Cast", [flags(4)], to=to, opset=13)
        case(f"float to {to}", "Cast", [x], to=to, opset=19, saturate=1)


def versions():
    """One case of every operator family at later operator sets."""
    for opset in (21, 23, 25):
        case("version", "Add", [f32(2), f32(2)], opset=opset)
        case("version", "Identity", [f32(2)], opset=opset)
        case("version", "Reshape", [f32(4), ints(2, 2)], opset=opset)
        case("version", "Flatten", [f32(2, 2)], opset=opset)
        case("version", "Transpose", [f32(2, 3)], opset=opset)
        case("version", "Cast", [f32(3)], to=TensorProto.INT64, opset=opset)
        case("version", "Squeeze", [f32(1, 2), ints(0)], opset=opset)
        case("version", "Unsqueeze", [f32(2), ints(0)], opset=opset)
        case("version", "Shape", [f32(2, 3)], opset=opset)
        case("version", "ReduceMean", [f32(2, 3), ints(1)], opset=opset)
        case("version", "Softmax", [f32(2, 3)], opset=opset)
        case("version", "Constant", [], opset=opset, value_float=2.5)


for family in (arithmetic, unary, logic, matrix, softmax, reduce, shape, move, constant, versions):
    family()
OUT = pathlib.Path(__file__).resolve().parent / "operators.jsonl"
OUT.write_text("".join(json.dumps(c, separators=(",", ":")) + "\n" for c in CASES))
print(len(CASES), "cases,", OUT.stat().st_size, "bytes")
