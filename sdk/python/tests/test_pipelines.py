"""Models with a pipeline: they take what people have."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess

import numpy
import pytest
from conftest import REPO

import blindbox

TRIAGE = REPO / "examples" / "triage"


def test_text(client: blindbox.Client, binary: str, tmp_path: pathlib.Path) -> None:
    model = client.upload_model(TRIAGE)
    packed = tmp_path / "packed.tar"
    subprocess.run([binary, "model", "pack", "-f", str(packed), str(TRIAGE)], check=True, stdout=subprocess.DEVNULL)
    again = client.upload_model(packed, "again")
    assert model.name == "triage" and again.model_id == model.model_id
    info = client.describe_model("triage")
    assert [repr(v) for v in info.inputs] == ["text BYTES[-1]"] and info.platform == "blindbox_pipeline"
    letter = tmp_path / "letter.txt"
    letter.write_text("there is a mistake in my bill")
    texts = ["Chest pain, suddenly!", "may I cancel my appointment?", letter]
    several = client.run("triage", texts)
    assert [row[0] for row in several["label"].as_numpy().tolist()] == [b"emergency", b"appointment", b"billing"]
    for i, text in enumerate(texts):
        one = client.run(model.model_id, text)
        assert one["label"].shape == (1, 2) and one["label"].as_strings()[0] == several["label"].as_strings()[2 * i]
        named = client.run_model("triage", input_tensors={"text": [text]}, outputs=["score"])
        assert named.names == ["score"] and named["score"].as_flat() == one["score"].as_flat()
    with pytest.raises(blindbox.BlindBoxError):
        client.run("triage", 3)
    with pytest.raises(blindbox.InvalidRequest):
        client.run("triage", b"\xff\xfe")


def real(name: str, variable: str) -> pathlib.Path:
    """One of the published models' files that the tests of the repository fetch."""
    folder = os.environ.get(variable)
    if not folder:
        pytest.skip(f"{variable} does not name a folder with {name}: `make test` fetches it")
    return pathlib.Path(folder) / name


def test_sentences(client: blindbox.Client, tmp_path: pathlib.Path) -> None:
    """MiniLM, with its real weights: what means the same is near."""
    folder = tmp_path / "minilm"
    folder.mkdir()
    shutil.copy(real("minilm-l6-int8.onnx", "BLINDBOX_MODELS"), folder / "model.onnx")
    shutil.copy(real("minilm.json", "BLINDBOX_TOKENIZERS"), folder / "tokenizer.json")
    steps = "output: [{pool: mean}, normalize]"
    text = "input: {text: {tokenizer: tokenizer.json, length: 256}}"
    (folder / "pipeline.yaml").write_text(f"model: model.onnx\n{text}\n{steps}\n")
    client.upload_model(folder)
    texts = ["the patient has a fever", "the sick person is hot", "interest rates rose again"]
    e = client.run("minilm", texts)["embedding"].as_numpy()
    assert e.shape == (3, 384) and numpy.allclose(numpy.linalg.norm(e, axis=1), 1, atol=1e-5)
    assert e[0] @ e[1] > 0.4 > 0.2 > e[0] @ e[2]
    assert (client.run("minilm", texts[0])["embedding"].as_numpy() == e[:1]).all()


def test_photograph(client: blindbox.Client, tmp_path: pathlib.Path) -> None:
    """Two models read what is written in a photograph."""
    folder = tmp_path / "ocr"
    shutil.copytree(REPO / "examples" / "ocr", folder)
    for name, file in (
        ("det.onnx", "ppocr-v4-det.onnx"),
        ("rec.onnx", "ppocr-v4-rec.onnx"),
        ("keys.txt", "ppocr-keys.txt"),
    ):
        shutil.copy(real(file, "BLINDBOX_MODELS"), folder / name)
    client.upload_model(folder)
    photo = REPO / "model" / "pipeline" / "ocr" / "testdata" / "invoice.png"
    lines = client.run("ocr", photo)["text"].as_strings()
    assert any("Northwind Clinic" in line for line in lines), lines
    assert client.run("ocr", photo.read_bytes())["text"].as_strings() == lines
    with pytest.raises(blindbox.InvalidRequest, match="image"):
        client.run("ocr", b"no picture")
    for path in (str(photo), [str(photo)]):
        with pytest.raises(blindbox.WrongType, match="pathlib"):
            client.run("ocr", path)
    with pytest.raises(blindbox.WrongType, match="pathlib"):
        client.run("ocr", image=str(photo))
