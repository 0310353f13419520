#!/usr/bin/env python3
"""Reads every case of vectors/cases, as a verifier in any language begins.

For each case it prints number and name, the kind of verifier that is asked, and
what it has to answer. It verifies nothing: `read` gives what a verifier needs.
Python 3.8 or later, nothing else.
"""
import base64
import hashlib
import json
import pathlib
import re

CASES = pathlib.Path(__file__).parent / "cases"
INPUT = {"kind", "verifier", "evidence", "endorsements", "roots", "pins", "at", "trust"}
EXPECTED = {"row", "about", "spec", "stage", "verdict", "check", "code"}
VERDICTS = {"none": "accepted", "verify": "refused", "appraise": "refused"}


def part(text):
    """The bytes of a part: base64, or blob:NAME for a file named by its SHA-256."""
    if not text.startswith("blob:"):
        return base64.b64decode(text, validate=True)
    name = text[len("blob:"):]
    if not re.fullmatch("[0-9a-f]{64}", name):
        raise ValueError(f"part named {name!r}")
    data = (CASES / "blobs" / name).read_bytes()
    if hashlib.sha256(data).hexdigest() != name:
        raise ValueError(f"{name}: other content than its name says")
    return data


def members(file, required, known):
    found = json.loads(file.read_text("utf-8"))
    if not required <= found.keys() <= known:
        raise ValueError(f"{file}: members {sorted(found)}")
    return found


def read(folder):
    """What comes in, decoded, and what has to come out."""
    case = members(folder / "input.json", {"kind", "evidence", "at"}, INPUT)
    want = members(folder / "expected.json", {"row", "about", "spec", "stage", "verdict"}, EXPECTED)
    if VERDICTS.get(want["stage"]) != want["verdict"] or ("code" in want) != (want["verdict"] == "refused"):
        raise ValueError(f"{folder}: stage, verdict and code do not fit")
    if want["stage"] == "appraise" and "trust" not in case:
        raise ValueError(f"{folder}: nothing to appraise with")
    case["verifier"] = case.get("verifier", case["kind"])
    case["evidence"] = part(case["evidence"])
    # A list, no dictionary: that a label comes twice is what some cases are about.
    case["endorsements"] = [(e["label"], part(e["data"])) for e in case.get("endorsements", [])]
    case["roots"] = [part(r) for r in case.get("roots", [])]
    case["pins"] = [part(p) for p in case.get("pins", [])]
    return case, want


def main():
    folders = sorted(CASES.glob("[0-9]*"))
    for folder in folders:
        case, want = read(folder)
        print(folder.name, case["verifier"], want["stage"], want["verdict"], want.get("check", "-"), want.get("code", "-"))
    print(len(folders), "cases")


if __name__ == "__main__":
    main()
