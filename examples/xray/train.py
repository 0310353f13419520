"""Draws pictures that look like X-rays of a bone, and trains the classifier of this folder on them.

    python train.py        writes xray.onnx, the pictures beside it, and the table in README.md

Nothing here comes from a patient: each picture is drawn below, in three kinds, so that the
right answer is known. The seed is fixed, so the same machine writes the same model again; another
one rounds in another order and gets slightly other weights.
"""

import pathlib
import struct
import zlib

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from onnx import TensorProto, checker, helper, numpy_helper

HERE = pathlib.Path(__file__).resolve().parent
LABELS = ("fracture", "implant", "no finding")
SIZE = 64  # what the model sees
SEED = 5
TRAIN, HELD_OUT, EPOCHS, BATCH = 6000, 1500, 14, 50


# Pictures.

def draw(rng, kind, size):
    """One picture, size x size, from 0 to 1."""
    y, x = (np.mgrid[0:size, 0:size] + 0.5) / size * 2 - 1
    turn, dx, dy = rng.uniform(-0.5, 0.5), rng.uniform(-0.15, 0.15), rng.uniform(-0.15, 0.15)
    u = (x - dx) * np.cos(turn) + (y - dy) * np.sin(turn)   # across the bone
    v = (y - dy) * np.cos(turn) - (x - dx) * np.sin(turn)   # along it
    radius, length = rng.uniform(0.13, 0.2), rng.uniform(0.9, 1.3)
    tissue = rng.uniform(0.2, 0.35) * np.sqrt(np.clip(1 - (u / rng.uniform(0.55, 0.8)) ** 2, 0, 1))

    gap = np.zeros_like(u)
    if kind == "fracture":  # a dark oblique line; what is beyond it has moved
        where, slope = rng.uniform(-0.45, 0.45), rng.uniform(-0.9, 0.9)
        beyond = v - where - slope * u
        gap = np.exp(-(beyond / rng.uniform(0.018, 0.045)) ** 2)
        u = u + np.where(beyond > 0, rng.uniform(-0.09, 0.09) + rng.uniform(-0.12, 0.12) * (v - where), 0)
    elif rng.random() < 0.4:  # the line where a young bone grows is none
        gap = 0.5 * np.exp(-((np.abs(v) - length * rng.uniform(0.7, 0.8)) / 0.02) ** 2)

    wide = radius * (1 + 0.7 * np.clip(np.abs(v) / length, 0, 1.2) ** 4)
    inside = 1 / (1 + np.exp(np.clip((np.abs(u) - wide) / 0.012, -40, 40)))
    inside = inside / (1 + np.exp(np.clip((np.abs(v) - length) / 0.03, -40, 40)))
    bone = inside * (rng.uniform(0.22, 0.32) + rng.uniform(0.2, 0.3) * np.clip(np.abs(u) / wide, 0, 1) ** 3)
    picture = tissue + bone * (1 - rng.uniform(0.6, 0.9) * gap)
    if kind == "implant":
        picture = np.maximum(picture, implant(rng, u, v, radius))
    return expose(rng, picture, x, y)


def implant(rng, u, v, radius):
    """A plate along the bone, and the screws that hold it."""
    side, middle, half = rng.choice([-1, 1]), rng.uniform(-0.2, 0.2), rng.uniform(0.35, 0.6)
    metal = (np.abs(u - side * radius * 1.1) < 0.045) & (np.abs(v - middle) < half)
    for at in np.linspace(-0.85, 0.85, rng.integers(4, 7)) * half:
        metal |= (np.abs(v - middle - at) < 0.018) & (np.abs(u) < radius * 1.15)
    return metal * rng.uniform(0.85, 1.0)


def expose(rng, picture, x, y):
    """What a detector and its settings add: gain, noise, a marker, edges that were not exposed."""
    if rng.random() < 0.5:  # the letter that says left or right
        cx, cy = rng.choice([-0.8, 0.8]), rng.choice([-0.8, 0.8])
        picture = np.where((np.abs(x - cx) < 0.03) & (np.abs(y - cy) < 0.08), 0.9, picture)
        picture = np.where((np.abs(x - cx - 0.04) < 0.05) & (np.abs(y - cy - 0.08) < 0.025), 0.9, picture)
    picture = picture * rng.uniform(0.8, 1.15) + rng.uniform(0, 0.08)
    coarse = np.kron(rng.normal(0, 1, (8, 8)), np.ones((picture.shape[0] // 8,) * 2))
    picture = picture + 0.012 * coarse + rng.normal(0, rng.uniform(0.01, 0.04), picture.shape)
    if rng.random() < 0.4:
        picture = np.where(np.abs(x) > rng.uniform(0.85, 1), 0.02, picture)
    return np.clip(picture, 0, 1)


def halved(picture):
    """As a resize by two makes it: each point of two by two."""
    return picture.reshape(picture.shape[0] // 2, 2, -1, 2).mean((1, 3))


def pictures(rng, count):
    kinds = np.arange(count) % len(LABELS)
    return np.stack([halved(draw(rng, LABELS[k], 2 * SIZE)) for k in kinds])[..., None].astype(np.float32), kinds


def png(picture):
    """A grey PNG file, eight bits a point."""
    rows = (picture * 255).round().astype(np.uint8)
    raw = b"".join(b"\0" + r.tobytes() for r in rows)
    chunk = lambda name, data: struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    head = struct.pack(">IIBBBBB", rows.shape[1], rows.shape[0], 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b"")


# The network: three convolutions of 3 x 3 with stride 2, the largest value of each
# channel, and a layer to the three labels. Pictures are N x H x W x C here.

WIDTHS = (1, 8, 16, 32)


def columns(x):
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = sliding_window_view(padded, (3, 3), (1, 2))[:, ::2, ::2]  # N h w C 3 3
    return np.ascontiguousarray(windows).reshape(-1, x.shape[3] * 9)


def forward(p, x):
    kept = []
    x = (x - 0.5) / 0.25
    for w, b in zip(p[0:6:2], p[1:6:2]):
        c = columns(x)
        out = np.maximum(c @ w + b, 0).reshape(len(x), x.shape[1] // 2, x.shape[2] // 2, -1)
        kept.append((x.shape, c, out))
        x = out
    flat = x.reshape(len(x), -1, x.shape[3])
    return flat.max(1) @ p[6] + p[7], kept, flat


def gradients(p, x, labels):
    logits, kept, flat = forward(p, x)
    prob = np.exp(logits - logits.max(1, keepdims=True))
    prob /= prob.sum(1, keepdims=True)
    prob[np.arange(len(x)), labels] -= 1
    d = prob / len(x)
    g = [None] * 6 + [flat.max(1).T @ d, d.sum(0)]
    dflat = np.zeros_like(flat)
    np.put_along_axis(dflat, flat.argmax(1)[:, None], (d @ p[6].T)[:, None], 1)
    dout = dflat.reshape(kept[-1][2].shape)
    for i in (2, 1, 0):
        shape, c, out = kept[i]
        dsum = (dout * (out > 0)).reshape(-1, out.shape[3])
        g[2 * i], g[2 * i + 1] = c.T @ dsum, dsum.sum(0)
        if i == 0:
            break
        dc = (dsum @ p[2 * i].T).reshape(shape[0], shape[1] // 2, shape[2] // 2, shape[3], 3, 3)
        dx = np.zeros((shape[0], shape[1] + 2, shape[2] + 2, shape[3]), np.float32)
        for a in range(3):
            for b in range(3):
                dx[:, a:a + shape[1]:2, b:b + shape[2]:2] += dc[..., a, b]
        dout = dx[:, 1:-1, 1:-1]
    return g


def train(rng, x, labels):
    p = []
    for i, o in zip(WIDTHS, WIDTHS[1:]):
        p += [rng.normal(0, (2 / (9 * i)) ** 0.5, (9 * i, o)), np.zeros(o)]
    p += [rng.normal(0, (1 / WIDTHS[-1]) ** 0.5, (WIDTHS[-1], len(LABELS))), np.zeros(len(LABELS))]
    p = [a.astype(np.float32) for a in p]
    m, s = [np.zeros_like(a) for a in p], [np.zeros_like(a) for a in p]
    steps, t = EPOCHS * len(x) // BATCH, 0
    for _ in range(EPOCHS):
        order = rng.permutation(len(x))
        for at in range(0, len(x), BATCH):
            batch, t = order[at:at + BATCH], t + 1
            seen = x[batch]
            if rng.random() < 0.5:
                seen = seen[:, :, ::-1]
            rate = 0.003 * 0.5 * (1 + np.cos(np.pi * t / steps))
            for a, g, mm, ss in zip(p, gradients(p, seen, labels[batch]), m, s):  # Adam
                mm += 0.1 * (g - mm)
                ss += 0.001 * (g * g - ss)
                a -= rate * (mm / (1 - 0.9 ** t)) / (np.sqrt(ss / (1 - 0.999 ** t)) + 1e-8)
    return [np.round(a, 4) for a in p]


def export(p):
    stored, nodes, last = [], [], "picture"
    for i in range(3):
        w = p[2 * i].reshape(WIDTHS[i], 3, 3, WIDTHS[i + 1]).transpose(3, 0, 1, 2)
        stored += [(f"w{i}", w), (f"b{i}", p[2 * i + 1])]
        nodes += [helper.make_node("Conv", [last, f"w{i}", f"b{i}"], [f"c{i}"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
                  helper.make_node("Relu", [f"c{i}"], [f"r{i}"])]
        last = f"r{i}"
    stored += [("w", p[6]), ("b", p[7])]
    nodes += [helper.make_node("GlobalMaxPool", [last], ["largest"]),
              helper.make_node("Flatten", ["largest"], ["flat"], axis=1),
              helper.make_node("Gemm", ["flat", "w", "b"], ["logits"])]
    graph = helper.make_graph(
        nodes, "xray",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, ["pictures", 1, SIZE, SIZE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["pictures", len(LABELS)])],
        [numpy_helper.from_array(np.ascontiguousarray(v, np.float32), k) for k, v in stored])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="blindbox/examples/xray")
    checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def table(answers, kinds):
    rows = ["| drawn as | " + " | ".join(LABELS) + " |", "|---|" + "---|" * len(LABELS)]
    for k, name in enumerate(LABELS):
        rows.append(f"| {name} | " + " | ".join(str(int(((answers == j) & (kinds == k)).sum())) for j in range(len(LABELS))) + " |")
    right = int((answers == kinds).sum())
    return "\n".join(rows) + f"\n\n{right} of {len(kinds)} right = {100 * right / len(kinds):.1f} %"


def main():
    rng = np.random.default_rng(SEED)
    p = train(rng, *pictures(rng, TRAIN))
    x, kinds = pictures(rng, HELD_OUT)
    results = table(forward(p, x)[0].argmax(1), kinds)
    (HERE / "xray.onnx").write_bytes(export(p))
    (HERE / "labels.txt").write_text("\n".join(LABELS) + "\n")
    for name in LABELS:
        (HERE / (name.replace(" ", "-") + ".png")).write_bytes(png(draw(rng, name, 2 * SIZE)))
    print(results)
    readme = HERE / "README.md"
    if readme.exists():
        head, rest = readme.read_text().split("<!-- results -->\n", 1)
        readme.write_text(f"{head}<!-- results -->\n{results}\n" + rest[rest.index("<!-- end of results -->"):])


if __name__ == "__main__":
    main()
