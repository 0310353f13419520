"""Talks to the server at argv[1] with tritonclient, as its users do, and prints "ok"."""

import sys

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

address, sample, sha256 = sys.argv[1], np.array(sys.argv[2].split(","), dtype=np.float32), sys.argv[3]
client = triton.InferenceServerClient(url=address)

assert client.is_server_live() and client.is_server_ready()
assert client.is_model_ready("tumour") and client.is_model_ready("tumour", "1")
assert not client.is_model_ready("none")
assert client.get_server_metadata()["name"] == "blindbox"
metadata = client.get_model_metadata("tumour")
assert metadata["inputs"] == [{"name": "features", "datatype": "FP32", "shape": [-1, 30]}], metadata
assert metadata["parameters"]["sha256"] == sha256, metadata


def tensor(name, array, datatype):
    t = triton.InferInput(name, list(array.shape), datatype)
    t.set_data_from_numpy(array, binary_data=False)
    return t


def outputs(*names):
    return [triton.InferRequestedOutput(n, binary_data=False) for n in names]


batch = np.stack([sample, sample + 1])
for wanted in (outputs("probabilities", "label"), None):  # None: the client asks for binary, and takes JSON
    answer = client.infer("tumour", [tensor("features", batch, "FP32")], outputs=wanted, request_id="r1")
    assert answer.get_response()["id"] == "r1"
    p, label = answer.as_numpy("probabilities"), answer.as_numpy("label")
    assert p.shape == (2, 2) and p.dtype == np.float32 and np.allclose(p.sum(axis=1), 1, atol=1e-6), p
    assert label.shape == (2,) and label.dtype == np.int64 and (label == p.argmax(axis=1)).all(), label
assert label[0] == 0, label  # malignant

answer = client.infer("tumour", [tensor("features", batch, "FP32")], outputs=outputs("label"), model_version="1")
assert [o["name"] for o in answer.get_response()["outputs"]] == ["label"]

answer = client.infer("echo", [tensor("f", np.float32([[1, 0.1]]), "FP32"), tensor("i", np.array([2**63 - 1]), "INT64"),
                               tensor("b", np.array([True]), "BOOL"), tensor("s", np.array("é", dtype=object), "BYTES")],
                      outputs=outputs("of", "oi", "ob", "os"))
assert answer.as_numpy("of").tolist() == np.float32([[1, 0.1]]).tolist()
assert answer.as_numpy("oi").tolist() == [2**63 - 1]
assert answer.as_numpy("ob").tolist() == [True]
assert answer.get_output("os")["data"] == ["é"]


def refused(text, call):
    try:
        call()
    except InferenceServerException as e:
        assert text in e.message(), e
        return
    raise AssertionError(f"not refused: {text}")


refused('no model "none"', lambda: client.infer("none", [tensor("features", batch, "FP32")]))
refused("has shape [2 29]", lambda: client.infer("tumour", [tensor("features", batch[:, 1:], "FP32")]))
refused('datatype FP64, expected FP32', lambda: client.infer("tumour", [tensor("features", batch.astype(np.float64), "FP64")]))
# Tensors as bytes, which is what the client does by itself.
features = triton.InferInput("features", [2, 30], "FP32")
features.set_data_from_numpy(batch)
for wanted in (None, [triton.InferRequestedOutput("probabilities"), triton.InferRequestedOutput("label", binary_data=False)]):
    answer = client.infer("tumour", [features], outputs=wanted)
    assert (answer.as_numpy("probabilities") == p).all() and (answer.as_numpy("label") == label).all(), answer.get_response()
inputs = {"f": (np.float32([[1, 0.1]]), "FP32"), "i": (np.array([2**63 - 1]), "INT64"),
          "b": (np.array([True]), "BOOL"), "s": (np.array([b"\xff\x00"], dtype=object).reshape(()), "BYTES")}
tensors = []
for name, (array, datatype) in inputs.items():
    tensors.append(triton.InferInput(name, list(array.shape), datatype))
    tensors[-1].set_data_from_numpy(array)
answer = client.infer("echo", tensors)
for name, (array, _) in inputs.items():
    assert answer.as_numpy("o" + name).tolist() == array.tolist(), (name, answer.as_numpy("o" + name))
# A pipeline takes what people have, as JSON or as bytes.
metadata = client.get_model_metadata("triage")
assert metadata["platform"] == "blindbox_pipeline" and metadata["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}], metadata
texts = np.array(["Severe chest pain".encode(), "Rückzahlung: a refund".encode()], dtype=object)
for binary in (False, True):
    text = triton.InferInput("text", [2], "BYTES")
    text.set_data_from_numpy(texts, binary_data=binary)
    answer = client.infer("triage", [text], outputs=[triton.InferRequestedOutput(n, binary_data=binary) for n in ("label", "score")])
    label, score = answer.as_numpy("label"), answer.as_numpy("score")
    assert [t if isinstance(t, str) else t.decode() for t in label[:, 0]] == ["emergency", "billing"], label
    assert score.shape == (2, 2) and (score[:, 0] > 0.9).all(), score
print("ok")
