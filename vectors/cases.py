#!/usr/bin/env python3
"""Reads every case of vectors/cases, as a verifier in any language begins.

For each case it prints number and name, the kind of verifier that is asked, and
what it has to answer. It verifies nothing: `read` gives what a verifier needs.
The statements it encodes by itself. Python 3.8 or later, nothing else.
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


def report_data(s):
    """The 64 bytes that hardware signs for a statement: fields in fixed order, each behind its length."""
    purpose = {"session": 1, "hpke": 2, "peer": 3, "keys": 4}[s["purpose"]]
    role = {"server": 1, "client": 2}[s["role"]]
    digests = ("nonce", "spki_hash", "hpke_key_hash", "attestation_key_hash", "tls_exporter", "policy_digest")
    fields = [b"blindbox/attest/v1", bytes([purpose]), bytes([role])]
    fields += [bytes.fromhex(s[name]) for name in digests]
    fields += [s[name].to_bytes(8, "big") for name in ("not_before", "not_after")]
    encoded = b"".join(len(f).to_bytes(2, "big") + f for f in fields)
    return encoded, hashlib.sha512(encoded).digest()


def statements():
    folders = sorted((CASES.parent / "statement").glob("[0-9]*"))
    for folder in folders:
        encoded, signed = report_data(json.loads((folder / "input.json").read_text("utf-8")))
        want = json.loads((folder / "expected.json").read_text("utf-8"))
        if (encoded.hex(), signed.hex()) != (want["encoded"], want["report_data"]):
            raise ValueError(f"{folder}: other bytes")
    return len(folders)


def main():
    folders = sorted(CASES.glob("[0-9]*"))
    for folder in folders:
        case, want = read(folder)
        print(folder.name, case["verifier"], want["stage"], want["verdict"], want.get("check", "-"), want.get("code", "-"))
    print(len(folders), "cases,", statements(), "statements")


if __name__ == "__main__":
    main()
