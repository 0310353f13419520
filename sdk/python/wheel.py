"""Makes the wheels of the Python package, one for each platform, with `blindbox` inside.

    python3 sdk/python/wheel.py [--out dist] [--platform linux-amd64] [--binary FILE]

It needs Python 3.11, Go, and no package. The same sources give the same bytes. A tag is
not believed: the binary is looked at, and a wheel that would say more than it holds is
not written.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from typing import Dict, Iterator, List, Tuple

HERE = pathlib.Path(__file__).resolve().parent
REPO = HERE.parents[1]
SOURCE = HERE / "src"

# A static binary runs under every C library; 3.2 is the oldest kernel that Go supports,
# and these are the oldest tags that installers know. macOS as Go 1.26 requires it.
TAGS: Dict[str, List[str]] = {
    "linux-amd64": ["manylinux2014_x86_64", "manylinux_2_17_x86_64", "musllinux_1_1_x86_64"],
    "linux-arm64": ["manylinux2014_aarch64", "manylinux_2_17_aarch64", "musllinux_1_1_aarch64"],
    "darwin-amd64": ["macosx_12_0_x86_64"],
    "darwin-arm64": ["macosx_12_0_arm64"],
    "windows-amd64": ["win_amd64"],
    "windows-arm64": ["win_arm64"],
}

EPOCH = (1980, 1, 1, 0, 0, 0)  # the first that a zip can have


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=REPO / "dist")
    parser.add_argument("--platform", action="append", choices=sorted(TAGS), help="one of them (default: all)")
    parser.add_argument("--binary", type=pathlib.Path, help="a binary for the one platform, instead of building it")
    args = parser.parse_args()
    platforms = args.platform or list(TAGS)
    if args.binary and len(platforms) != 1:
        parser.error("--binary is for one --platform")
    args.out.mkdir(parents=True, exist_ok=True)
    for platform in platforms:
        with tempfile.TemporaryDirectory() as folder:
            binary = args.binary or build(platform, pathlib.Path(folder))
            print(write(platform, binary.read_bytes(), args.out))


def build(platform: str, folder: pathlib.Path) -> pathlib.Path:
    system, machine = platform.split("-")
    env = {**os.environ, "CGO_ENABLED": "0", "GOOS": system, "GOARCH": machine}
    out = folder / "blindbox"
    subprocess.run(
        ["go", "build", "-trimpath", "-ldflags=-s -w", "-o", str(out), "./cmd/blindbox"], cwd=REPO, env=env, check=True
    )
    return out


def write(platform: str, binary: bytes, out: pathlib.Path) -> pathlib.Path:
    """Writes the wheel for a platform and returns its path."""
    check(platform, binary)
    project = tomllib.loads((HERE / "pyproject.toml").read_text("utf-8"))["project"]
    version = version_of()
    info = f"{project['name']}-{version}.dist-info"
    tags = TAGS[platform]
    name = "blindbox.exe" if platform.startswith("windows") else "blindbox"
    files: List[Tuple[str, bytes, int]] = [*sources(), (f"blindbox/bin/{name}", binary, 0o755)]
    files += [
        (f"{info}/METADATA", metadata(project, version), 0o644),
        (f"{info}/WHEEL", wheel(tags), 0o644),
        (f"{info}/entry_points.txt", scripts(project), 0o644),
        (f"{info}/licenses/LICENSE", (REPO / "LICENSE").read_bytes(), 0o644),
    ]
    files.append((f"{info}/RECORD", record(files, f"{info}/RECORD"), 0o644))
    path = out / f"{project['name']}-{version}-py3-none-{'.'.join(tags)}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        for member, data, mode in files:
            entry = zipfile.ZipInfo(member, EPOCH)
            entry.create_system, entry.external_attr = 3, (0o100000 | mode) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            z.writestr(entry, data)
    return path


def version_of() -> str:
    found: Dict[str, str] = {}
    exec((SOURCE / "blindbox" / "_version.py").read_text("utf-8"), found)
    return found["__version__"]


def sources() -> Iterator[Tuple[str, bytes, int]]:
    for path in sorted((SOURCE / "blindbox").glob("*")):
        if path.suffix == ".py" or path.name == "py.typed":
            yield f"blindbox/{path.name}", path.read_bytes(), 0o644


def metadata(project: Dict[str, object], version: str) -> bytes:
    """Core metadata, version 2.1."""
    lines = [
        "Metadata-Version: 2.1",
        f"Name: {project['name']}",
        f"Version: {version}",
        f"Summary: {project['description']}",
    ]
    lines += [f"License: {project['license']['text']}", "License-File: licenses/LICENSE"]  # type: ignore[index]
    lines += [f"Project-URL: {name}, {url}" for name, url in project["urls"].items()]  # type: ignore[attr-defined]
    lines += [f"Classifier: {c}" for c in project["classifiers"]]  # type: ignore[attr-defined]
    lines.append(f"Requires-Python: {project['requires-python']}")
    for extra, wanted in project["optional-dependencies"].items():  # type: ignore[attr-defined]
        lines.append(f"Provides-Extra: {extra}")
        lines += [f'Requires-Dist: {w}; extra == "{extra}"' for w in wanted]
    lines.append("Description-Content-Type: text/markdown")
    return ("\n".join(lines) + "\n\n" + (HERE / str(project["readme"])).read_text("utf-8")).encode()


def wheel(tags: List[str]) -> bytes:
    lines = ["Wheel-Version: 1.0", "Generator: blindbox wheel.py", "Root-Is-Purelib: false"]
    return ("\n".join(lines + [f"Tag: py3-none-{t}" for t in tags]) + "\n").encode()


def scripts(project: Dict[str, object]) -> bytes:
    return ("[console_scripts]\n" + "".join(f"{k} = {v}\n" for k, v in project["scripts"].items())).encode()  # type: ignore[attr-defined]


def record(files: List[Tuple[str, bytes, int]], own: str) -> bytes:
    def digest(data: bytes) -> str:
        return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()

    return "".join([f"{name},sha256={digest(data)},{len(data)}\n" for name, data, _ in files] + [f"{own},,\n"]).encode()


def check(platform: str, binary: bytes) -> None:
    """Refuses a binary that does not run everywhere where the tags say."""
    looked = {"linux": elf, "darwin": macho, "windows": pe}[platform.split("-")[0]](binary)
    expected = {
        "linux-amd64": "x86_64, static",
        "linux-arm64": "aarch64, static",
        "darwin-amd64": "x86_64, macOS 12.0",
        "darwin-arm64": "arm64, macOS 12.0",
        "windows-amd64": "amd64",
        "windows-arm64": "arm64",
    }[platform]
    if looked != expected:
        sys.exit(f"{platform}: the binary is {looked}, expected {expected}")


def elf(data: bytes) -> str:
    """ELF, 64 bits: the machine, and whether it asks for a loader (PT_INTERP)."""
    if data[:6] != b"\x7fELF\x02\x01":
        return "no ELF file of 64 bits"
    (machine,) = struct.unpack_from("<H", data, 18)
    (at,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    kinds = {struct.unpack_from("<I", data, at + i * size)[0] for i in range(count)}
    name = {62: "x86_64", 183: "aarch64"}.get(machine, f"machine {machine}")
    return f"{name}, {'dynamic' if 3 in kinds else 'static'}"


def macho(data: bytes) -> str:
    """Mach-O, 64 bits: the processor, and the oldest system (LC_BUILD_VERSION)."""
    if data[:4] != b"\xcf\xfa\xed\xfe":
        return "no Mach-O file of 64 bits"
    cpu, _, _, count = struct.unpack_from("<IIII", data, 4)
    at, oldest = 32, "of no version"
    for _ in range(count):
        command, size = struct.unpack_from("<II", data, at)
        if command == 0x32:
            (version,) = struct.unpack_from("<I", data, at + 12)
            oldest = f"macOS {version >> 16}.{version >> 8 & 255}"
        at += size
    name = {0x01000007: "x86_64", 0x0100000C: "arm64"}.get(cpu, f"processor {cpu:#x}")
    return f"{name}, {oldest}"


def pe(data: bytes) -> str:
    (at,) = struct.unpack_from("<I", data, 0x3C)
    if data[:2] != b"MZ" or data[at : at + 4] != b"PE\0\0":
        return "no PE file"
    (machine,) = struct.unpack_from("<H", data, at + 4)
    return {0x8664: "amd64", 0xAA64: "arm64"}.get(machine, f"machine {machine:#x}")


if __name__ == "__main__":
    main()
