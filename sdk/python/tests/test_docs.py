"""The pages: every block of Python on them is run, and what it prints is compared."""

from __future__ import annotations

import contextlib
import gc
import io
import pathlib
import re
import shutil
import warnings
from typing import Any, Dict, Iterator, List

import numpy
import pytest
from conftest import REPO, TUMOUR, Box, Start

import blindbox

pytest.importorskip("openai")


def blocks(page: pathlib.Path) -> List[str]:
    return re.findall(r"^```python\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture
def place(
    tmp_path: pathlib.Path, box: Box, app: Box, start: Start, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Dict[str, str]]:
    """A folder with what the pages name, and where their boxes are."""
    relay = start(
        "name: r\nstore: {memory: 64MiB}\ncallers: [{anyone: true, may: [list]}]\n", more=["--fault", "relay"]
    )
    monkeypatch.chdir(tmp_path)
    shutil.copy(TUMOUR, "xray.onnx")
    shutil.copytree(REPO / "examples" / "triage", "triage")
    for name, of in (("trust.yaml", box), ("app.yaml", app), ("relay.yaml", relay)):
        shutil.copy(of.trust, name)
    yield {"https://box.example": box.url, "https://app.example": app.url, "https://relay.example": relay.url}
    blindbox.requests.close()
    with box.connect() as client:
        for m in client.list_models():
            if m.owner:
                client.delete_model(m.name, version=m.version)


def expected(block: str) -> List[str]:
    return [line.lstrip()[2:].strip() for line in block.splitlines() if line.lstrip().startswith("#>")]


def fits(want: str, line: str) -> bool:
    return re.fullmatch(".*".join(re.escape(part) for part in want.split("...")), line) is not None


@pytest.mark.parametrize("page", ["docs/python.md", "README.md", "sdk/python/README.md"])
def test_page(page: str, place: Dict[str, str], sample: List[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLINDBOX_API_KEY", "a-key-of-the-provider")
    names: Dict[str, Any] = {"record": sample, "array": numpy.array([sample], dtype=numpy.float32)}
    found = blocks(REPO / page)
    assert found, f"{page} has no Python"
    for block in found:
        code = block
        for name, url in place.items():
            code = code.replace(name, url)
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(code, page, "exec"), names)
        want, got = expected(block), [line.strip() for line in out.getvalue().splitlines()]
        if want:
            assert len(want) == len(got) and all(map(fits, want, got)), f"{block}\n--- printed\n{out.getvalue()}"


def rows() -> List[List[str]]:
    """The lines of the table for whoever comes from BlindAI: there, here, and why."""
    page = (REPO / "docs" / "python.md").read_text("utf-8")
    table = page.partition("## Coming from")[2].partition("\n## ")[0]
    cells = [[c.strip() for c in line.strip("|").split(" | ")] for line in table.splitlines() if line.startswith("| ")]
    return [c if len(c) == 3 else [*c, ""] for c in cells[1:]]


def test_coming_from_blindai(place: Dict[str, str], sample: List[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLINDBOX_API_KEY", "a-key-of-the-provider")
    pathlib.Path("sound.wav").write_bytes(b"RIFF")
    names: Dict[str, Any] = {**vars(blindbox), "blindbox": blindbox, "record": sample}
    host = place["https://box.example"].partition("//")[2]
    table, ways = rows(), {"the same": 0, "refused": 0, "else": 0}
    assert all(there.startswith("`") for there, _, _ in table), table

    def run(code: str) -> None:
        assert code.startswith("`") and code.endswith("`"), code
        for name, url in place.items():
            code = code.replace(name, url)
        code = code.replace('"box.example"', f'"{host}"').replace("9924", host.rpartition(":")[2])
        try:
            line = compile(code.strip("`"), code, "eval")
        except SyntaxError:
            exec(compile(code.strip("`"), code, "exec"), names)
        else:
            assert eval(line, names) is not False, code

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of files and clients that the lines of a table leave open
        for there, here, _ in table:
            way = here.partition(":")[0]
            ways[way if way in ways else "else"] += 1
            if way == "refused":
                kind = here.partition("`")[2].rstrip("`")
                with pytest.raises(getattr(blindbox, kind, TypeError)):
                    run(there)
            else:
                run(there if way == "the same" else here)
        names["session"].close()
        names.clear()
        gc.collect()
    assert min(ways.values()) >= 8, ways


def test_page_names_every_call() -> None:
    """What the package exports is on the page."""
    text = (REPO / "docs" / "python.md").read_text("utf-8")
    calls = [n for n in dir(blindbox.Client) if not n.startswith("_")]
    unnamed = "BlindAiConnection Client DeleteResponse Model ModelInfo RunModelResponse TensorInfo UploadResponse errors"
    calls += [n for n in blindbox.__all__ if n not in [*unnamed.split(), "__version__"]]
    missing = [n for n in calls if not re.search(rf"\b{n}\b", text)]
    assert not missing
