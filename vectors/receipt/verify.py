#!/usr/bin/env python3
"""Verify the receipts of this directory with nothing but Python's standard library.

It is the example for a verifier in another language: docs/receipts.md in code. It
verifies receipts, not the evidence for the key, which is a matter of the hardware.
Prints one line for each case, and ends with 1 if one comes out otherwise than it says.
"""
import base64, hashlib, json, pathlib, re, struct, sys
from datetime import datetime, timedelta, timezone

# ECDSA on P-256 (FIPS 186-5), slow and only to verify.
P = 2**256 - 2**224 + 2**192 + 2**96 - 1
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
G = (0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
     0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5)


def add(p, q):
    if p is None or q is None:
        return p or q
    if p[0] == q[0]:
        if (p[1] + q[1]) % P == 0:
            return None
        slope = (3 * p[0] * p[0] - 3) * pow(2 * p[1], -1, P)
    else:
        slope = (q[1] - p[1]) * pow(q[0] - p[0], -1, P)
    x = (slope * slope - p[0] - q[0]) % P
    return x, (slope * (p[0] - x) - p[1]) % P


def times(k, p):
    out = None
    while k:
        if k & 1:
            out = add(out, p)
        p, k = add(p, p), k >> 1
    return out


def ecdsa(key, message, signature):
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    if not (0 < r < N and 0 < s < N):
        return False
    w = pow(s, -1, N)
    e = int.from_bytes(hashlib.sha256(message).digest(), "big")
    point = add(times(e * w % N, G), times(r * w % N, key))
    return point is not None and point[0] % N == r


class Refused(Exception):
    pass


def must(ok, code, check=""):
    if not ok:
        raise Refused(code, check)


def b64(text):
    must(re.fullmatch(r"[A-Za-z0-9_-]*", text), "receipt_malformed")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    must(base64.urlsafe_b64encode(data).rstrip(b"=").decode() == text, "receipt_malformed")
    return data


HEADER = re.compile(r'\{"alg":"ES256","typ":"blindbox-receipt\+jws","jwk":\{"kty":"EC","crv":"P-256","x":"([A-Za-z0-9_-]{43})","y":"([A-Za-z0-9_-]{43})"\}\}')
MEMBERS = ["v", "id", "nonce", "began", "ended", "box", "serves", "caller", "decision", "request", "response", "outcome", "egress", "audit"]


def pairs(list_of_pairs):
    out = dict(list_of_pairs)
    must(len(out) == len(list_of_pairs), "receipt_malformed")
    return out


def spelled(value):
    """The one spelling: no spaces, and <, > and & escaped."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    for c in "<>&\u2028\u2029":
        text = text.replace(c, "\\u%04x" % ord(c))
    return text.encode()


def open_receipt(token):
    parts = token.split(".")
    must(len(parts) == 3, "receipt_malformed")
    header = HEADER.fullmatch(b64(parts[0]).decode("latin-1"))
    must(header, "receipt_malformed")
    signature = b64(parts[2])
    must(len(signature) == 64, "receipt_malformed")
    x, y = (b64(c) for c in header.groups())
    key = int.from_bytes(x, "big"), int.from_bytes(y, "big")
    must(max(key) < P and (key[1] ** 2 - key[0] ** 3 + 3 * key[0] - B) % P == 0, "receipt_malformed")
    must(ecdsa(key, (parts[0] + "." + parts[1]).encode(), signature), "receipt_signature")
    payload = b64(parts[1])
    receipt = json.loads(payload, object_pairs_hook=pairs)
    order = [m for m in MEMBERS if m != "nonce" or m in receipt]
    must(receipt.get("v") == 1 and list(receipt) == order and spelled(receipt) == payload, "receipt_malformed")
    # The key's name: SHA-256 over its SubjectPublicKeyInfo (RFC 5480), whose beginning is fixed for P-256.
    spki = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200") + b"\x04" + x + y
    return receipt, payload, hashlib.sha256(spki).digest()


def blobs(data):
    while data:
        size = struct.unpack(">I", data[:4])[0]
        yield data[4:4 + size]
        data = data[4 + size:]


def evidence(bundle):
    """Kind, evidence and statement: the first parts of a bundle."""
    assert bundle[:8] == b"BBXBNDL1"
    parts = blobs(bundle[8:])
    kind, data, statement = next(parts).decode(), next(parts), next(parts)
    fields = []
    while statement:
        size = struct.unpack(">H", statement[:2])[0]
        fields.append(statement[2:2 + size])
        statement = statement[2 + size:]
    return kind, data, fields


def bind(receipt, key, bundle):
    kind, data, s = evidence(bundle)
    box, sha = receipt["box"], lambda b: "sha256:" + b.hex()
    bound = lambda ok, check: must(ok, "receipt_not_bound", "receipt." + check)
    bound(s[1] == b"\x04", "purpose")
    bound(s[2] == b"\x01", "role")
    bound(s[4] == key, "key")
    bound(box["policy"] == sha(s[8]), "policy")
    bound(box["evidence"] == sha(hashlib.sha256(data).digest()), "evidence")
    bound(box["kind"] == kind, "kind")
    bound(box["simulated"] == kind.startswith("sim-"), "simulated")
    begin, end = (datetime.fromtimestamp(int.from_bytes(f, "big"), timezone.utc) for f in s[9:11])
    slack = timedelta(minutes=5)
    for member, check in (("began", "time"), ("ended", "end")):
        at = datetime.strptime(receipt[member], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
        bound(begin - slack <= at <= end + slack, check)


def part(text):
    return struct.pack(">I", len(text.encode())) + text.encode()


def field(name, values):
    return part(name) + struct.pack(">I", len(values)) + b"".join(map(part, values))


def head(message):
    if "status" in message:
        data = part("blindbox/receipt/response/v1") + part("%03d" % message["status"])
    else:
        data = part("blindbox/receipt/request/v1") + part(message["method"]) + part(message["target"])
    header = {k.lower(): v for k, v in (message["header"] or {}).items()}
    for name in ("content-encoding", "content-type"):
        data += field(name, header.get(name, []))
    return "sha256:" + hashlib.sha256(data).hexdigest()


def trailers(message):
    fields = {k.lower(): v for k, v in (message.get("trailers") or {}).items() if not k.lower().startswith("blindbox-")}
    if not fields:
        return None
    data = part("blindbox/receipt/trailers/v1") + b"".join(field(k, fields[k]) for k in sorted(fields))
    return "sha256:" + hashlib.sha256(data).hexdigest()


def compare(receipt, case):
    for name in ("request", "response"):
        if name not in case:
            continue
        said, message, check = receipt[name], case[name], "receipt." + name
        body = base64.b64decode(message["body"])
        must(said["head"] == head(message), "receipt_digest", check + "_head")
        must(said["complete"] and said["bytes"] == len(body) and said["body"] == "sha256:" + hashlib.sha256(body).hexdigest(), "receipt_digest", check)
        must(said.get("trailers") == trailers(message), "receipt_digest", check + "_trailers")


def judge(case):
    receipt, payload, key = open_receipt(case["token"])
    bind(receipt, key, base64.b64decode(case["bundle"]))
    compare(receipt, case)
    return payload, key


wrong = 0
for directory in sorted(pathlib.Path(__file__).parent.glob("[0-9]*")):
    case, expected = (json.loads((directory / name).read_text()) for name in ("input.json", "expected.json"))
    try:
        payload, key = judge(case)
        got = "accepted", "", payload.decode() == expected.get("payload") and key.hex() == expected.get("key")
    except Refused as refusal:
        code, check = refusal.args
        got = "refused", code, code == expected.get("code") and check == expected.get("check", "")
    right = got[0] == expected["verdict"] and got[2]
    wrong += not right
    print(directory.name, got[0], got[1] or "-", "" if right else "EXPECTED %s %s" % (expected["verdict"], expected.get("code")))
sys.exit(1 if wrong else 0)
