"""Receipts: what a box signed is about what was sent and got, and the program verifies it."""

from __future__ import annotations

import asyncio
import json
import pathlib
import stat
import subprocess
from dataclasses import replace
from typing import Any, List

import pytest
from conftest import KEYS, TUMOUR, TUMOUR_ID, Box

import blindbox
from blindbox import Receipt, receipts


def made(box: Box, sample: List[float]) -> List[blindbox.Receipt]:
    """Receipts of an upload, of a run, and of a deletion."""
    with box.connect() as client:
        model = client.upload_model(TUMOUR, "signed", receipt=True)
        answer = client.run_model("signed", input_tensors=sample, receipt=True)
        short = client.run("signed", [sample], receipt=True)
        gone = client.delete_model("signed", receipt=True).receipt
    assert answer["label"].as_flat() == short["label"].as_flat() == [0] and model.model_id == TUMOUR_ID
    assert model.receipt and answer.receipt and short.receipt and gone
    return [model.receipt, answer.receipt, gone]


def test_what_they_say(box: Box, sample: List[float], binary: str, tmp_path: pathlib.Path) -> None:
    uploaded, ran, gone = made(box, sample)
    assert uploaded.claims["request"]["body"] == TUMOUR_ID, "the file is what was sent"
    for r, action in ((uploaded, "upload"), (ran, "query"), (gone, "delete")):
        assert r.claims["caller"] == "acme" and r.claims["decision"]["action"] == action
        assert r.claims["outcome"] == "complete" and r.verify(box.trust)["verdict"] == "trusted"
    assert [m["name"] for m in ran.claims["serves"]] == ["acme~signed"] == [m["name"] for m in gone.claims["serves"]]
    assert ran.claims["serves"][0]["digest"] == TUMOUR_ID
    path = tmp_path / "r.jws"
    for r in (ran, uploaded, gone):
        r.save(path, overwrite=True)
        there = {p.name for p in tmp_path.iterdir()}
        assert there >= {"r.jws", "r.jws.bundle"} and ("r.jws.request" in there) == (r is ran), there
        assert blindbox.Receipt.load(path).token == r.token
    ran.save(path, overwrite=True)
    assert all(stat.S_IMODE((tmp_path / f"r.jws.{end}").stat().st_mode) == 0o600 for end in ("request", "response"))
    for end, ok in ((".request", True), (".bundle", False)):
        command = [binary, "receipt", "verify", "-o", "json", "--trust", box.trust]
        done = subprocess.run([*command, "--request", f"{path}{end}", str(path)], capture_output=True, check=False)
        assert (done.returncode == 0) == ok and json.loads(done.stdout)
    with blindbox.connect(box.url, trust=box.trust, api_key=KEYS["acme"]) as client:
        assert client.run_model("tumour", input_tensors=sample).receipt is None
        assert "Receipt" not in repr(client.upload_model(TUMOUR, "plain"))
        assert client.delete_model("plain").receipt is None


@pytest.mark.parametrize("end", ["", ".bundle", ".request", ".response"])
def test_saved_over_nothing(tmp_path: pathlib.Path, end: str) -> None:
    """What is there may be the only copy of another receipt: none of its files is touched."""
    fresh, other = Receipt("a.b.c", b"evidence", b"asked", b"said"), tmp_path / f"r.jws{end}"
    other.write_bytes(b"another's")
    with pytest.raises(FileExistsError, match="overwrite=True") as refused:
        fresh.save(tmp_path / "r.jws")
    assert refused.value.filename == str(other) and other.read_bytes() == b"another's"
    assert [p.name for p in tmp_path.iterdir()] == [other.name]
    fresh.save(tmp_path / "r.jws", overwrite=True)
    loaded = Receipt.load(tmp_path / "r.jws")
    assert (loaded.token, loaded.bundle, loaded.request, loaded.response) == ("a.b.c", b"evidence", b"asked", b"said")
    Receipt("a.b.c", b"evidence").save(tmp_path / "r.jws", overwrite=True)
    assert {p.name for p in tmp_path.iterdir()} == {"r.jws", "r.jws.bundle"}, "bodies of another receipt stayed"


def test_verified(box: Box, app: Box, sample: List[float]) -> None:
    _, ran, _ = made(box, sample)
    for altered in (
        replace(ran, request=b"another"),
        replace(ran, response=b"another"),
        replace(ran, head="POST /v2/models/other/infer"),
        replace(ran, content_type="text/plain"),
        replace(ran, token=ran.token[:-8] + "AAAAAAAA"),
    ):
        with pytest.raises(blindbox.AttestationError) as refused:
            altered.verify(box.trust)
        assert refused.value.code.startswith("BBX-2") and "nothing was sent" not in str(refused.value)
    with pytest.raises(blindbox.AttestationError):
        ran.verify(app.trust)
    with pytest.raises(blindbox.PartlyVerified):
        replace(ran, bundle=b"").verify(box.trust)
    with pytest.raises(blindbox.UsageError, match="cannot be read"):
        blindbox.Receipt("x.y", b"").claims
    assert ran.verify(box.trust, at=ran.claims["ended"])["verdict"] == "trusted"


def test_asynchronous(box: Box, sample: List[float]) -> None:
    async def story() -> None:
        async with blindbox.aconnect(box.url, trust=box.trust, api_key=KEYS["acme"]) as client:
            model = await client.upload_model(TUMOUR, "signed", receipt=True)
            answer = await client.run("signed", sample, receipt=True)
            gone = await client.delete_model("signed", receipt=True)
        for r in (model.receipt, answer.receipt, gone.receipt):
            assert r and r.verify(box.trust)["verdict"] == "trusted"

    asyncio.run(story())


def test_of_a_refusal(client: blindbox.Client) -> None:
    for ask in (
        lambda: client.delete_model("none", receipt=True),
        lambda: client.upload_model(b"no model", "none", receipt=True),
    ):
        with pytest.raises(blindbox.BoxError) as refused:
            ask()
        assert refused.value.receipt.claims["response"]["status"] == refused.value.status


@pytest.mark.parametrize("what", ["id", "nonce", "request", "response", "token", "evidence"])
def test_of_something_else(client: blindbox.Client, sample: List[float], monkeypatch: Any, what: str) -> None:
    """The call was answered: its answer is not lost, and a receipt of another call is not kept."""
    if what == "id":
        monkeypatch.setattr(receipts, "ID", "X-None")
    elif what in ("token", "evidence"):
        fetched = receipts._fetched

        async def none(way: Any, name: str, most: int, limit: Any) -> bytes:
            if (name == "evidence") == (what == "evidence"):
                raise blindbox.ConnectionLost("cut")
            return await fetched(way, name, most, limit)

        monkeypatch.setattr(receipts, "_fetched", none)
    else:
        other = {"nonce": "0", "request": {"body": "sha256:0"}, "response": None}[what]
        claims_of = receipts.claims_of
        monkeypatch.setattr(receipts, "claims_of", lambda token: {**claims_of(token), what: other})
    with pytest.raises(blindbox.ReceiptError) as missing:
        client.run_model("tumour", input_tensors=sample, receipt=True)
    assert missing.value.answer["label"].as_flat() == [0] and not missing.value.nothing_sent
