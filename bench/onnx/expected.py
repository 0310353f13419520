"""Writes onnx/testdata/real: what real models answer, for the tests of package onnx.

    python expected.py --models .cache/models --out onnx/testdata/real

The answers are ONNX Runtime's. Of each output it keeps every few elements and the
largest ones, as pairs of index and value. Inputs are numbers, or the picture that
the test reads.
"""

import argparse
import json
import pathlib

import numpy as np
import onnxruntime

import feeds

LARGEST = 40  # elements
SPREAD = 300  # elements, evenly spread


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name, cases in {
        "silero-vad": voices, "minilm-l6-int8": sentences, "ppocr-v4-det": pages, "ppocr-v4-rec": lines, "ppocr-v2-cls": lines,
    }.items():
        session = onnxruntime.InferenceSession(str(args.models / f"{name}.onnx"), providers=["CPUExecutionProvider"])
        listed = [written(session, *case, args.out) for case in cases(session)]
        text = json.dumps({"oracle": f"onnxruntime {onnxruntime.__version__}", "by": "bench/onnx/expected.py", "cases": listed})
        (args.out / f"{name}.json").write_text(text.replace('{"name"', '\n{"name"') + "\n")


def voices(session):
    """A first piece of sound, one after a while, and one of the other rate that the model takes."""
    fresh = np.zeros((2, 1, 128), np.float32)
    long = feeds.sound(512 * 9 + 64)
    state = fresh
    for i in range(8):
        state = session.run(["stateN"], voice(long[512 * i:512 * i + 576], state, 16000))[0]
    yield "first", voice(long[:576], fresh, 16000), {}
    yield "later", voice(long[512 * 8:512 * 8 + 576], state, 16000), {}
    yield "8 kHz", voice(feeds.sound(288, 8000), fresh, 8000), {}


def voice(samples, state, rate):
    return {"input": samples[None, :], "state": state, "sr": np.array(rate, np.int64)}


def sentences(session):
    """One sentence, and two of which the shorter one is filled up."""
    question = [101, 2029, 3482, 2089, 2156, 2026, 2951, 1029, 102]  # Which box may see my data?
    answer = [101, 2069, 2028, 2008, 2038, 10003, 2054, 3216, 1999, 2009, 1012, 102]  # Only one that has proven what runs in it.
    yield "one", batch(question), {}
    yield "two", batch(question, answer), {}


def batch(*texts):
    longest = max(map(len, texts))
    ids = np.array([t + [0] * (longest - len(t)) for t in texts], np.int64)
    mask = np.array([[1] * len(t) + [0] * (longest - len(t)) for t in texts], np.int64)
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}


def pages(session):
    yield "three lines", None, {"x": feeds.page(192, 320, 32)}


def lines(session):
    yield "one line", None, {"x": feeds.line("Hello, sealed box 42")}


def written(session, name, tensors, pictures, out):
    tensors = dict(tensors or {})
    inputs = [number(key, t) for key, t in tensors.items()]
    for key, image in pictures.items():
        file = f"{name.replace(' ', '-')}.png"
        image.save(out / file, optimize=True)
        tensors[key] = feeds.pixels(image)
        inputs.append({"name": key, "picture": file})
    names = [o.name for o in session.get_outputs()]
    outputs = [sampled(key, t) for key, t in zip(names, session.run(names, tensors))]
    return {"name": name, "inputs": inputs, "outputs": outputs}


def number(name, t):
    t = np.asarray(t)
    return {"name": name, "type": str(t.dtype), "shape": list(t.shape), "values": [plain(v) for v in t.ravel()]}


def sampled(name, t):
    flat = t.ravel()
    chosen = set(range(0, flat.size, max(flat.size // SPREAD, 1)))
    chosen |= set(np.argsort(-np.abs(flat))[:LARGEST].tolist())
    return {"name": name, "shape": list(t.shape), "values": [[i, plain(flat[i])] for i in sorted(chosen)]}


def plain(v):
    return int(v) if isinstance(v, np.integer) else float(np.format_float_scientific(v, unique=True))


if __name__ == "__main__":
    main()
