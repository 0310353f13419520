"""Models: in, asked, listed, and out again."""

from __future__ import annotations

import hashlib
import io
import pathlib
from array import array
from typing import Any, List

import numpy
import pytest
from conftest import TUMOUR, TUMOUR_ID, Box

import blindbox
from blindbox import ModelDatumType


def test_whole_job(client: blindbox.Client, sample: List[float]) -> None:
    told: List[Any] = []
    model = client.upload_model(str(TUMOUR), progress=lambda sent, total: told.append((sent, total)))
    assert model.model_id == TUMOUR_ID and model.hash == hashlib.sha256(TUMOUR.read_bytes()).digest()
    assert (model.name, model.version, model.owner, model.visibility, model.optimize) == (
        "tumour",
        "1",
        "acme",
        "private",
        True,
    )
    assert told[-1] == (TUMOUR.stat().st_size,) * 2
    answer = client.run_model(model.model_id, input_tensors=numpy.array([sample], dtype=numpy.float32))
    label = answer["label"]
    assert label.as_flat() == [0] and label.shape == (1,) and label.datum_type == ModelDatumType.I64
    probabilities = answer.output[0].as_numpy()
    assert probabilities.shape == (1, 2) and probabilities.dtype == numpy.float32 and probabilities[0, 0] > 0.99
    assert answer.names == ["probabilities", "label"] and len(answer) == 2
    client.delete_model(model.model_id)
    with pytest.raises(blindbox.PolicyDenied):  # the box's own model with this file is what is left
        client.delete_model(model.model_id)
    with pytest.raises(blindbox.NotFound) as refused:
        client.delete_model("gone")
    assert refused.value.status == 404 and "no model" in str(refused.value)


@pytest.mark.parametrize("form", ["path", "bytes", "bytearray", "memoryview", "file", "stream", "onnx"])
def test_forms_of_a_model(client: blindbox.Client, form: str) -> None:
    data = TUMOUR.read_bytes()

    class Proto:
        def SerializeToString(self) -> bytes:
            return data

    class Stream(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            return data

    file = io.BytesIO(b"before" + data)
    file.seek(6)
    made: Any = {
        "path": TUMOUR,
        "bytes": data,
        "bytearray": bytearray(data),
        "memoryview": memoryview(data),
        "file": file,
        "stream": Stream(),
        "onnx": Proto(),
    }
    model = client.upload_model(made[form], model_name="m")
    assert (model.name, model.model_id, model.size) == ("m", TUMOUR_ID, len(data))


def test_what_is_no_model(client: blindbox.Client, tmp_path: pathlib.Path) -> None:
    with pytest.raises(blindbox.ModelRefused) as refused:
        client.upload_model(b"no model", model_name="none")
    assert refused.value.status == 422 and "loading" in refused.value.message
    with pytest.raises(blindbox.InvalidRequest, match="may have, 128 MiB: store.owner.bytes"):
        client.upload_model(bytes(200 << 20), model_name="large")
    with pytest.raises(blindbox.UsageError, match="without a name"):
        client.upload_model(b"x")
    with pytest.raises(blindbox.UsageError, match="pipeline.yaml") as folder:
        client.upload_model(tmp_path)
    assert folder.value.code.startswith("BBX-1")
    with pytest.raises(blindbox.UsageError, match="type dict"):
        client.upload_model({}, model_name="x")
    with pytest.raises(FileNotFoundError):
        client.upload_model(tmp_path / "none.onnx")
    with pytest.raises(blindbox.InvalidRequest, match="name"):
        client.upload_model(TUMOUR, model_name="../x")


def test_versions_and_options(client: blindbox.Client) -> None:
    first = client.upload_model(TUMOUR, "xray")
    second = client.upload_model(TUMOUR, "xray", optimize=False, version=7, shared=True)
    assert (first.version, second.version, second.optimize, second.visibility) == ("1", "7", False, "shared")
    third = client.upload_model(TUMOUR, "together", batch=8)
    assert (third.batch, first.batch) == (8, 0)
    client.delete_model("together")
    assert sorted(m.version for m in client.list_models() if m.name == "xray") == ["1", "7"]
    info = client.describe_model("xray", version=7)
    assert info.name == "xray" and info.versions == ("7",) and info.platform.startswith("onnx")
    assert [repr(v) for v in info.inputs] == ["features FP32[-1, 30]"] and info.outputs[1].node_name == "label"
    client.delete_model("xray", version=7)
    with pytest.raises(blindbox.NotFound):
        client.describe_model("xray", version=7)
    assert client.pin_model("xray").pinned and not client.unpin_model("xray").pinned
    assert client.load_model("xray").loaded
    with pytest.raises((blindbox.Conflict, blindbox.BoxError)):
        client.unload_model("none")


def test_another_file_under_a_version(client: blindbox.Client) -> None:
    """What the box says of it is said, and not that the upload is missing."""
    client.upload_model(str(TUMOUR), "taken", version=3)
    with pytest.raises(blindbox.Conflict, match="another model under this version"):
        client.upload_model(str(TUMOUR), "taken", version=3, optimize=False)
    client.delete_model("taken")


def test_deleted_versions(client: blindbox.Client) -> None:
    """The newest goes, or the one that is named, or all: which went and which are left is said."""
    for version in (2, 9, 10):
        client.upload_model(TUMOUR, "many", version=version)
    gone = client.delete_model("many")
    assert (gone.name, gone.versions, gone.left, gone.receipt) == ("many", ("10",), ("2", "9"), None)
    gone = client.delete_model("many", version=9)
    assert (gone.versions, gone.left) == (("9",), ("2",))
    client.upload_model(TUMOUR, "many", version=10)
    gone = client.delete_model("many", all_versions=True)
    assert (gone.name, gone.versions, gone.left) == ("many", ("10", "2"), ())
    with pytest.raises(blindbox.NotFound):
        client.delete_model("many", all_versions=True)
    for text, more in (
        ("expected one of them", {"version": 2}),
        ("one for each version", {"receipt": True}),
        ("an id, which is one file", {"model_id": TUMOUR_ID}),
    ):
        with pytest.raises(blindbox.UsageError, match=text) as refused:
            client.delete_model(**{"model_id": "many", "all_versions": True, **more})  # type: ignore[arg-type]
        assert refused.value.nothing_sent


def test_deleted_meanwhile(client: blindbox.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    for version in (1, 2, 3):
        client.upload_model(TUMOUR, "many", version=version)
    delete = client._calls._delete

    async def late(model_id: str, version: Any, timeout: Any, receipt: bool) -> Any:
        if version == "2":
            await delete(model_id, version, timeout, receipt)  # somebody else
        return await delete(model_id, version, timeout, receipt)

    monkeypatch.setattr(client._calls, "_delete", late)
    assert client.delete_model("many", all_versions=True).versions == ("3", "1")


def test_forms_of_inputs(client: blindbox.Client, sample: List[float]) -> None:
    rows = numpy.array([sample, sample], dtype=numpy.float32)
    want = client.run_model("tumour", input_tensors=rows)["probabilities"].as_numpy()
    strided = numpy.asfortranarray(numpy.repeat(rows, 2, axis=1))[:, ::2]
    for inputs in (
        {"features": rows},
        [rows],
        rows,
        [sample, sample],
        [[sample, sample]],
        sample + sample,
        {"features": sample + sample},
        strided,
        rows.astype(">f4"),
        {"features": rows.data},
    ):
        got = client.run_model("tumour", input_tensors=inputs)["probabilities"].as_numpy()
        assert (got == want).all(), inputs
    flat = client.run_model("tumour", input_tensors=[sample], dtypes=[ModelDatumType.F32], shapes=[[1, 30]])
    assert (flat["probabilities"].as_numpy() == want[:1]).all()
    typed = client.run_model("tumour", input_tensors={"features": array("f", sample)}, shapes={"features": (1, 30)})
    assert (typed["probabilities"].as_numpy() == want[:1]).all()
    by_hash = client.run_model(model_hash=TUMOUR_ID[7:], input_tensors=rows, outputs=["label"])
    assert by_hash.names == ["label"]
    assert (
        client.run_model(model_hash=bytes.fromhex(TUMOUR_ID[7:]), input_tensors=rows)["probabilities"].as_numpy()
        == want
    ).all()
    assert client.predict("tumour", sample, "float32", [1, 30])["label"].as_flat() == [0]
    assert (
        client.run("tumour", rows)["label"].as_flat()
        == client.run("tumour", features=rows)["label"].as_flat()
        == [0, 0]
    )
    with pytest.raises(KeyError, match="there are label"):
        by_hash["none"]


def test_what_is_no_input(client: blindbox.Client, sample: List[float]) -> None:
    rows = numpy.array([sample], dtype=numpy.float32)
    for kind, text, inputs in (
        (blindbox.InvalidRequest, "datatype FP64, expected FP32", {"features": rows.astype(numpy.float64)}),
        (blindbox.InvalidRequest, "shape", {"features": rows[:, :29]}),
        (blindbox.InvalidRequest, "no such input", {"none": rows}),
        (blindbox.UsageError, "29 elements", sample[:29]),
        (blindbox.UsageError, "of another type than FP32", [["a"] * 30]),
        (blindbox.UsageError, "different lengths", [sample, sample[:3]]),
        (blindbox.UsageError, "no type of tensors", {"features": rows.astype(numpy.complex64)}),
    ):
        with pytest.raises(kind, match=text):
            client.run_model("tumour", input_tensors=inputs)
    for model_id, model_hash in (("", ""), ("a", "b")):
        with pytest.raises(blindbox.UsageError, match="which model"):
            client.run_model(model_id, model_hash, rows)
    with pytest.raises(blindbox.NotFound, match='no model "none"'):
        client.run_model("none", input_tensors={"x": rows})
    with pytest.raises(blindbox.UsageError, match="by place and by name"):
        client.run("tumour", rows, features=rows)


def test_slips(client: blindbox.Client, box: Box, sample: List[float]) -> None:
    """Each is told what it is, before anything is sent."""
    anything: Any = client
    connect: Any = blindbox.connect
    uploaded = blindbox.UploadResponse("a", "1", "b")
    slips: List[Any] = [
        (blindbox.UsageError, "no input_tensors", lambda: anything.run_model("tumour")),
        (TypeError, "name of type int", lambda: anything.run_model(3, input_tensors=sample)),
        (TypeError, "name of type UploadResponse", lambda: anything.run(uploaded, sample)),
        (TypeError, "name of type UploadResponse", lambda: anything.delete_model(uploaded)),
        (TypeError, "reading text", lambda: anything.upload_model(io.StringIO("text"), "m")),
        (TypeError, "a model of type NoneType", lambda: anything.upload_model(None, "m")),
        (blindbox.UsageError, "timeout '5'", lambda: anything.list_models(timeout="5")),
        (blindbox.UsageError, "timeout True", lambda: anything.list_models(timeout=True)),
        (TypeError, "an address of type NoneType", lambda: connect(None, trust=box.trust)),
    ]
    for kind, text, slip in slips:
        with pytest.raises(kind, match=text) as refused:
            slip()
        assert refused.value.nothing_sent and "nothing was sent" in str(refused.value)


def test_other_callers(box: Box, client: blindbox.Client, sample: List[float]) -> None:
    client.upload_model(TUMOUR, "mine")
    client.upload_model(TUMOUR, "ours", shared=True)
    with box.connect("clinic") as clinic:
        assert clinic.caller["name"] == "clinic" and "query" in clinic.caller["may"]
        assert sorted(m.name for m in clinic.list_models()) == ["acme~ours", "tumour"]
        assert clinic.run_model("acme~ours", input_tensors=[sample])["label"].as_flat() == [0]
        with pytest.raises(blindbox.NotFound):
            clinic.run_model("acme~mine", input_tensors=[sample])
        with pytest.raises(blindbox.PolicyDenied, match="may only") as denied:
            clinic.upload_model(TUMOUR)
        assert (
            denied.value.status == 403 and denied.value.code == "BBX-403" and isinstance(denied.value, PermissionError)
        )
        with pytest.raises(blindbox.PolicyDenied):
            clinic.delete_model("acme~ours")
    with box.connect("nobody") as nobody, pytest.raises(blindbox.Unauthenticated):
        nobody.list_models()


def test_large_tensors_are_not_copied(client: blindbox.Client, sample: List[float]) -> None:
    rows = numpy.tile(numpy.array(sample, dtype=numpy.float32), (100_000, 1))  # 12 MB
    answer = client.run_model("tumour", input_tensors={"features": rows})
    p = answer["probabilities"].as_numpy()
    assert p.shape == (100_000, 2) and p.flags.writeable and (p == p[0]).all()
    assert numpy.shares_memory(p, answer["probabilities"].as_numpy())
