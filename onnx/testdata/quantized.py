"""Writes quantized/: small models as onnxruntime's quantizer makes them, with inputs and its answers.

    pip install onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
    python quantized.py

Each model is quantized in the ways that users do: weights ahead and activations during the run ("dynamic"), and
both ahead, with pairs of QuantizeLinear and DequantizeLinear around float operators ("qdq") or with operators on
integers ("qoperator"). cases.jsonl has, for each file, tensors as {"t": type, "s": shape, "d": elements}.
"""

import json
import logging
import pathlib
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static

RNG = np.random.default_rng(3)
OUT = pathlib.Path(__file__).resolve().parent / "quantized"
HIDDEN, HEADS, INNER, LENGTH = 32, 2, 64, 6


class Graph:
    def __init__(self):
        self.nodes, self.weights = [], []

    def weight(self, array):
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def random(self, *shape):
        return self.weight((RNG.normal(0, 1, shape) / np.sqrt(max(shape[:-1] or (1,)))).astype(np.float32))

    def add(self, op, *inputs, **attrs):
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], f"{op}{len(self.nodes)}", **attrs))
        return name

    def model(self, shape, last, rank):
        self.nodes[-1].output[0] = "y"
        graph = helper.make_graph(self.nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
                                  [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * rank)], self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        return onnx.shape_inference.infer_shapes(model)


def transformer():
    g = Graph()

    def dense(x, rows, columns):
        return g.add("Add", g.add("MatMul", x, g.random(rows, columns)), g.random(columns))

    def heads(x, *perm):
        shape = g.weight(np.int64([0, 0, HEADS, HIDDEN // HEADS]))
        return g.add("Transpose", g.add("Reshape", x, shape), perm=perm)

    def norm(x):
        return g.add("LayerNormalization", x, g.weight(np.ones(HIDDEN, np.float32)), g.random(HIDDEN))

    q, k, v = (dense("x", HIDDEN, HIDDEN) for _ in range(3))
    scores = g.add("MatMul", heads(q, 0, 2, 1, 3), heads(k, 0, 2, 3, 1))
    weights = g.add("Softmax", g.add("Div", scores, g.weight(np.float32(4))), axis=-1)
    mixed = g.add("Transpose", g.add("MatMul", weights, heads(v, 0, 2, 1, 3)), perm=(0, 2, 1, 3))
    x = norm(g.add("Add", "x", dense(g.add("Reshape", mixed, g.weight(np.int64([0, 0, HIDDEN]))), HIDDEN, HIDDEN)))
    y = dense(g.add("Relu", dense(x, HIDDEN, INNER)), INNER, HIDDEN)
    return g.model(["batch", "length", HIDDEN], norm(g.add("Add", x, y)), 3)


def network():
    g = Graph()

    def conv(x, filters, channels, size, groups=1, **attrs):
        w = g.random(filters, channels // groups, size, size)
        return g.add("Relu", g.add("Conv", x, w, g.random(filters), group=groups, **attrs))

    x = conv("x", 8, 3, 3, strides=[2, 2], pads=[1, 1, 1, 1])
    x = conv(x, 8, 8, 3, groups=8, pads=[1, 1, 1, 1])
    x = conv(x, 16, 8, 1)
    x = g.add("Add", x, conv(x, 16, 16, 3, pads=[2, 2, 2, 2], dilations=[2, 2]))
    x = g.add("Flatten", g.add("GlobalAveragePool", x))
    return g.model(["batch", 3, 14, 14], g.add("Gemm", x, g.random(16, 10), g.random(10)), 2)


class Samples(CalibrationDataReader):
    def __init__(self, shape):
        self.left = [{"x": RNG.normal(0, 1, shape).astype(np.float32)} for _ in range(4)]

    def get_next(self):
        return self.left.pop() if self.left else None


def tensor(a):
    return {"t": "float32", "s": list(a.shape), "d": [float(str(v)) for v in a.ravel()]}


def main():
    logging.disable(logging.WARNING)
    OUT.mkdir(exist_ok=True)
    cases = []
    for name, model, shape in [("transformer", transformer(), (2, LENGTH, HIDDEN)), ("network", network(), (2, 3, 14, 14))]:
        with tempfile.TemporaryDirectory() as work:
            plain = pathlib.Path(work) / "plain.onnx"
            onnx.save(model, plain)
            kinds = {
                "dynamic": lambda to: quantize_dynamic(plain, to, weight_type=QuantType.QInt8 if name == "transformer" else QuantType.QUInt8,
                                                       op_types_to_quantize=["MatMul", "Conv"]),
                "qdq": lambda to: quantize_static(plain, to, Samples(shape), QuantFormat.QDQ, per_channel=True,
                                                  activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8),
                "qdq16": lambda to: quantize_static(plain, to, Samples(shape), QuantFormat.QDQ, activation_type=QuantType.QInt16,
                                                    weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul", "Conv", "Gemm"]),
                "qoperator": lambda to: quantize_static(plain, to, Samples(shape), QuantFormat.QOperator, per_channel=True,
                                                        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
                                                        op_types_to_quantize=["MatMul", "Conv"]),
            }
            for kind, quantize in kinds.items():
                path = OUT / f"{name}-{kind}.onnx"
                quantize(path)
                x = np.round(RNG.normal(0, 1, shape), 3).astype(np.float32)
                options = onnxruntime.SessionOptions()
                options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
                session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
                cases.append({"name": path.stem, "x": tensor(x), "y": tensor(session.run(["y"], {"x": x})[0])})
                print(path.stem, path.stat().st_size, sorted({n.op_type if not n.domain else f"{n.domain}:{n.op_type}" for n in onnx.load(path).graph.node}))
    (OUT / "cases.jsonl").write_text("".join(json.dumps(c, separators=(",", ":")) + "\n" for c in cases))


main()
