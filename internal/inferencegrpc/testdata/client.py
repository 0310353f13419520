"""Talks to the address at argv[1] with tritonclient over gRPC, as its users do, and prints "ok"."""

import queue
import sys

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

client = triton.InferenceServerClient(url=sys.argv[1])
assert client.is_server_live() and client.is_server_ready()
assert client.is_model_ready("tumour") and client.is_model_ready("tumour", "1") and not client.is_model_ready("none")
assert client.get_server_metadata().name == "blindbox"
metadata = client.get_model_metadata("tumour")
assert [(i.name, i.datatype, list(i.shape)) for i in metadata.inputs] == [("features", "FP32", [-1, 30])], metadata
assert {m.name for m in client.get_model_repository_index().models} == {"all", "tumour"}


def tensor(name, array, datatype):
    t = triton.InferInput(name, list(array.shape), datatype)
    t.set_data_from_numpy(array)
    return t


batch = np.linspace(0, 1, 60, dtype=np.float32).reshape(2, 30)
for wanted in (None, [triton.InferRequestedOutput("probabilities"), triton.InferRequestedOutput("label")]):
    answer = client.infer("tumour", [tensor("features", batch, "FP32")], outputs=wanted, request_id="r1", model_version="1")
    assert answer.get_response().id == "r1"
    p, label = answer.as_numpy("probabilities"), answer.as_numpy("label")
    assert p.shape == (2, 2) and p.dtype == np.float32 and np.allclose(p.sum(axis=1), 1, atol=1e-6), p
    assert (label == p.argmax(axis=1)).all(), label

types = {"FP32": np.float32, "FP64": np.float64, "FP16": np.float16, "BOOL": np.bool_, "INT8": np.int8, "INT16": np.int16,
         "INT32": np.int32, "INT64": np.int64, "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32, "UINT64": np.uint64}
arrays = {name: np.array([0, 1]).astype(t) for name, t in types.items()}
arrays["BYTES"] = np.array([b"\xff", "é".encode()], dtype=object)
answer = client.infer("all", [tensor("in" + name, a, name) for name, a in arrays.items()])
for name, a in arrays.items():
    got = answer.as_numpy("out" + name)
    assert got.dtype == a.dtype and (got == a).all(), (name, got)

answers = queue.Queue()
client.start_stream(callback=lambda result, error: answers.put((result, error)))
for i in range(3):
    client.async_stream_infer("tumour", [tensor("features", batch, "FP32")], request_id=str(i))
for i in range(3):
    result, error = answers.get(timeout=60)
    assert error is None and result.get_response().id == str(i) and (result.as_numpy("label") == label).all(), error
client.stop_stream()

try:
    client.infer("tumour", [tensor("features", batch[:, 1:], "FP32")])
except InferenceServerException as e:
    assert e.status() == "StatusCode.INVALID_ARGUMENT" and "has shape [2 29]" in e.message(), e
else:
    raise AssertionError("29 features were taken")
print("ok")
