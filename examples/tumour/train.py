"""Trains the tumour classifier and writes every generated file of this folder.

    python train.py            write tumour.onnx, sample.json, testdata/, results in README.md
    python train.py --check    write nothing; fail if any file would change

The same bytes come out every time: the seed is fixed, the optimiser takes a fixed
number of small steps (no convergence test that rounding could tip over), and the
weights are rounded to four decimals before they are stored.
"""

import json
import pathlib
import sys
import warnings

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

HERE = pathlib.Path(__file__).resolve().parent
SEED = 7
HELD_OUT = 114  # a fifth of the 569 records
MALIGNANT, BENIGN = 0, 1  # scikit-learn's numbering of this data set


def train(x, y):
    """Fits the scaler and the network; returns both."""
    scaler = StandardScaler().fit(x)
    net = MLPClassifier((16, 8), activation="tanh", solver="adam", alpha=0.1, learning_rate_init=0.005,
                        batch_size=91, max_iter=200, tol=0, n_iter_no_change=10**6, random_state=SEED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the step count is fixed on purpose
        net.fit(scaler.transform(x), y)
    return scaler, net


def export(scaler, net, names):
    """Returns the ONNX file: (x - mean) / scale, two tanh layers, softmax, arg max.

    scikit-learn ends a two-class network in one logistic unit z = P(benign). Softmax over
    the pair (0, z) is the same function and gives one probability per class.
    """
    stored = {"mean": scaler.mean_, "scale": scaler.scale_}
    nodes = [helper.make_node("Sub", ["features", "mean"], ["centred"], "centre"),
             helper.make_node("Div", ["centred", "scale"], ["layer0"], "scale")]
    layers = list(zip(net.coefs_, net.intercepts_))
    for i, (weights, bias) in enumerate(layers, 1):
        if i == len(layers):
            weights, bias = np.pad(weights, ((0, 0), (1, 0))), np.pad(bias, (1, 0))
        stored[f"W{i}"], stored[f"b{i}"] = weights, bias
        nodes.append(helper.make_node("Gemm", [f"layer{i-1}", f"W{i}", f"b{i}"], [f"sum{i}"], f"fc{i}"))
        if i < len(layers):
            nodes.append(helper.make_node("Tanh", [f"sum{i}"], [f"layer{i}"], f"tanh{i}"))
    nodes += [helper.make_node("Softmax", [f"sum{len(layers)}"], ["probabilities"], "softmax", axis=1),
              helper.make_node("ArgMax", ["probabilities"], ["label"], "argmax", axis=1, keepdims=0)]
    graph = helper.make_graph(
        nodes, "tumour",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", len(names)])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 2]),
         helper.make_tensor_value_info("label", TensorProto.INT64, ["batch"])],
        [numpy_helper.from_array(np.round(v, 4).astype(np.float32), k) for k, v in stored.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8,
                              producer_name="blindbox/examples/tumour")
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def run(model, x):
    """The model's answers as onnxruntime computes them: probabilities, labels."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(["probabilities", "label"], {"features": x.astype(np.float32)})


def rates(truth, answer):
    """(correct, all), (malignant found, malignant), (benign found, benign)."""
    ill, well = truth == MALIGNANT, truth == BENIGN
    return [(int((answer == truth).sum()), len(truth)),
            (int((answer[ill] == MALIGNANT).sum()), int(ill.sum())),
            (int((answer[well] == BENIGN).sum()), int(well.sum()))]


def cross_validate(data, names):
    """The same training ten times on nine tenths of all records, scored on the last tenth."""
    total = np.zeros((3, 2), int)
    folds = StratifiedKFold(10, shuffle=True, random_state=SEED)
    for fit, score in folds.split(data.data, data.target):
        model = export(*train(data.data[fit], data.target[fit]), names)
        total += np.array(rates(data.target[score], run(model, data.data[score])[1]))
    return total.tolist()


def table(held, folds):
    rows = ["| | held-out fifth | 10-fold cross-validation |", "|---|---|---|"]
    for name, (a, n), (b, m) in zip(
            ("accuracy", "sensitivity (malignant found)", "specificity (benign found)"), held, folds):
        rows.append(f"| {name} | {a}/{n} = {100*a/n:.1f} % | {b}/{m} = {100*b/m:.1f} % |")
    return "\n".join(rows)


def shortest(values):
    """float32 values as the shortest decimals that read back to the same float32."""
    return [float(str(np.float32(v))) for v in values]


def request(record, features):
    """One record as a request of the Open Inference Protocol."""
    return {"id": f"record-{record}",
            "inputs": [{"name": "features", "shape": [1, len(features)], "datatype": "FP32", "data": features}]}


def build():
    """Everything this script writes: {path: bytes}."""
    data = load_breast_cancer()
    names = [str(n) for n in data.feature_names]
    fit, held = train_test_split(np.arange(len(data.target)), test_size=HELD_OUT, random_state=SEED,
                                 stratify=data.target)
    model = export(*train(data.data[fit], data.target[fit]), names)
    probabilities, labels = run(model, data.data[held])
    records = [{"record": int(r), "features": shortest(data.data[r]), "true": int(data.target[r]),
                "probabilities": [round(float(p), 6) for p in probabilities[i]], "label": int(labels[i])}
               for i, r in enumerate(held)]
    first = next(r for r in records if r["true"] == MALIGNANT)
    results = table(rates(data.target[held], labels), cross_validate(data, names))
    readme = (HERE / "README.md").read_text()
    head, rest = readme.split("<!-- results -->\n", 1)
    tail = rest.split("<!-- end of results -->", 1)[1]
    lines = ",\n".join(json.dumps(r, separators=(",", ":")) for r in records)
    return {
        "tumour.onnx": model,
        "sample.json": (json.dumps(request(first["record"], first["features"])) + "\n").encode(),
        "features.txt": ("\n".join(names) + "\n").encode(),
        "testdata/held_out.json": f"[\n{lines}\n]\n".encode(),
        "README.md": f"{head}<!-- results -->\n{results}\n<!-- end of results -->{tail}".encode(),
    }


def main():
    changed = []
    for name, content in build().items():
        path = HERE / name
        if not path.exists() or path.read_bytes() != content:
            changed.append(name)
            if "--check" not in sys.argv:
                path.write_bytes(content)
    print("changed:", ", ".join(changed) or "nothing")
    sys.exit(1 if changed and "--check" in sys.argv else 0)


if __name__ == "__main__":
    main()
