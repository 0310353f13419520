"""The wheel: what it says is true, and it is all that is needed."""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib.util
import io
import os
import pathlib
import platform
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import zipfile
from typing import Any

import pytest
from conftest import KEYS, Box

HERE = pathlib.Path(__file__).resolve().parents[1]
MACHINE = {"x86_64": "linux-amd64", "aarch64": "linux-arm64"}.get(platform.machine(), "")

if sys.version_info < (3, 11) or not sys.platform.startswith("linux") or not MACHINE:
    pytest.skip("wheel.py needs Python 3.11, and this looks at a wheel for Linux", allow_module_level=True)


@pytest.fixture(scope="module")
def maker() -> Any:
    spec = importlib.util.spec_from_file_location("wheel_maker", HERE / "wheel.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def wheel(maker: Any, binary: str, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return pathlib.Path(maker.write(MACHINE, pathlib.Path(binary).read_bytes(), tmp_path_factory.mktemp("wheel")))


def test_record(wheel: pathlib.Path) -> None:
    with zipfile.ZipFile(wheel) as z:
        names = z.namelist()
        (record,) = [n for n in names if n.endswith(".dist-info/RECORD")]
        rows = {name: (digest, size) for name, digest, size in csv.reader(io.StringIO(z.read(record).decode()))}
        assert sorted(rows) == sorted(names) and len(set(names)) == len(names)
        for name in names:
            data = z.read(name)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            assert rows[name] == (("", "") if name == record else (f"sha256={digest}", str(len(data))))
            assert z.getinfo(name).date_time == (1980, 1, 1, 0, 0, 0)
            mode = z.getinfo(name).external_attr >> 16
            assert mode == (0o100755 if name == "blindbox/bin/blindbox" else 0o100644), name
        assert {p.name for p in (HERE / "src" / "blindbox").glob("*.py")} | {"py.typed"} == {
            n.partition("/")[2] for n in names if n.startswith("blindbox/") and n.count("/") == 1
        }
        tags = [
            line[5:]
            for line in z.read(record.replace("RECORD", "WHEEL")).decode().splitlines()
            if line.startswith("Tag: ")
        ]
        assert wheel.name.endswith(f"-py3-none-{'.'.join(t.rpartition('-')[2] for t in tags)}.whl") and len(tags) == 3
        metadata = z.read(record.replace("RECORD", "METADATA")).decode()
        assert (
            "Name: blindbox\n" in metadata and "Requires-Python: >=3.9\n" in metadata and "\n# blindbox\n" in metadata
        )


SOURCES = """
import sys
from setuptools import build_meta
print(build_meta.build_sdist(sys.argv[1]))
"""

WITHOUT = """
import blindbox, sys
try:
    blindbox.connect("box.example")
except blindbox.SidecarError as e:
    print(blindbox.__file__, e, sep="\\n")
"""


def test_sources(tmp_path: pathlib.Path) -> None:
    """A source distribution is made and used without Go, and says what it lacks."""
    pytest.importorskip("setuptools")
    names = shutil.ignore_patterns("__pycache__", "*.egg-info", "bin")
    shutil.copytree(HERE, tmp_path / "copy", ignore=names)
    env = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    command = [sys.executable, "-c", SOURCES, str(tmp_path)]
    done = subprocess.run(command, check=True, cwd=tmp_path / "copy", env=env, capture_output=True, text=True)
    with tarfile.open(tmp_path / done.stdout.split()[-1]) as t:
        members = [m.name.partition("/")[2] for m in t.getmembers()]
        t.extraction_filter = getattr(tarfile, "data_filter", None)
        t.extractall(tmp_path)
    assert {"README.md", "pyproject.toml", "src/blindbox/py.typed", "src/blindbox/_sidecar.py"} <= set(members)
    assert not [m for m in members if m.startswith(("tests", "src/blindbox/bin"))]
    (folder,) = tmp_path.glob("blindbox-*/src")
    command = [sys.executable, "-W", "error", "-c", WITHOUT]
    out = subprocess.run(command, check=True, env={**env, "PYTHONPATH": str(folder)}, capture_output=True, text=True)
    assert out.stdout.startswith(str(folder)) and "the program blindbox is not there" in out.stdout, out.stdout
    assert "BLINDBOX_BINARY" in out.stdout and "nothing was sent" in out.stdout


def test_readme(wheel: pathlib.Path) -> None:
    """What an index shows is the page of the package, with links that lead somewhere from there."""
    with zipfile.ZipFile(wheel) as z:
        (name,) = [n for n in z.namelist() if n.endswith("METADATA")]
        head, _, body = z.read(name).decode().partition("\n\n")
    assert body == (HERE / "README.md").read_text("utf-8") and "Description-Content-Type: text/markdown" in head
    links = re.findall(r"\]\(([^)]*)\)", body)
    assert links and all(link.startswith("https://") for link in links)


def test_same_bytes(maker: Any, binary: str, tmp_path: pathlib.Path) -> None:
    data = pathlib.Path(binary).read_bytes()[: 1 << 16]  # with all of what is looked at
    made = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        made.append(maker.write(MACHINE, data, tmp_path / name).read_bytes())
    assert made[0] == made[1]


def test_tags_are_not_believed(maker: Any, binary: str, tmp_path: pathlib.Path) -> None:
    data = bytearray(pathlib.Path(binary).read_bytes())
    for other in maker.TAGS:
        if other != MACHINE:
            with pytest.raises(SystemExit, match=f"{other}: the binary is"):
                maker.write(other, bytes(data), tmp_path)
    (at,) = struct.unpack_from("<Q", data, 32)
    struct.pack_into("<I", data, at, 3)  # as if it asked for a loader
    with pytest.raises(SystemExit, match="dynamic"):
        maker.write(MACHINE, bytes(data), tmp_path)
    mac = struct.pack("<8I", 0xFEEDFACF, 0x0100000C, 0, 2, 1, 24, 0, 0) + struct.pack(
        "<6I", 0x32, 24, 1, 14 << 16 | 2 << 8, 0, 0
    )
    assert maker.macho(mac) == "arm64, macOS 14.2"
    assert (
        maker.pe(b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40) + b"PE\0\0" + struct.pack("<H", 0xAA64)) == "arm64"
    )
    assert not list(tmp_path.iterdir())


STORY = """
import warnings, sys, blindbox
warnings.simplefilter("ignore")
with blindbox.connect(sys.argv[1], trust=sys.argv[2]) as box:
    model = box.upload_model(sys.argv[3], "mine")
    print(box.run_model(model.model_id, input_tensors=[float(x) for x in sys.argv[4].split(",")])["label"].as_flat())
    box.delete_model("mine")
"""


def test_installed(wheel: pathlib.Path, box: Box, tmp_path: pathlib.Path, sample: Any) -> None:
    """A new environment with the wheel and nothing else: no index, no numpy, no PATH."""
    from conftest import TUMOUR

    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    bin = tmp_path / "venv" / "bin"
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", "--python", str(bin / "python")]
    env = {"HOME": str(tmp_path), "BLINDBOX_API_KEY": KEYS["acme"], "PATH": str(tmp_path)}
    subprocess.run([*pip, "install", "--no-index", str(wheel)], check=True, env=env)
    for command in ([str(bin / "blindbox")], [str(bin / "python"), "-m", "blindbox"]):
        out = subprocess.run([*command, "version"], check=True, env=env, capture_output=True, text=True).stdout
        assert out.startswith("blindbox "), out
    told = subprocess.run([str(bin / "blindbox"), "explain", "BBX-999"], env=env, capture_output=True, text=True)
    assert told.returncode == 1 and "BBX-" in told.stderr
    args = [box.url, box.trust, str(TUMOUR), ",".join(map(str, sample))]
    out = subprocess.run(
        [str(bin / "python"), "-c", STORY, *args], check=True, env=env, capture_output=True, text=True
    ).stdout
    assert out.strip() == "[0]"
    assert os.access(next((tmp_path / "venv").glob("lib/*/site-packages/blindbox/bin/blindbox")), os.X_OK)
