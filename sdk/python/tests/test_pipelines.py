"""Models with a pipeline: they take what people have."""

from __future__ import annotations

import pathlib
import subprocess

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
