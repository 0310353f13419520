"""Makes the models that `make bench-onnx` measures, each with inputs and outputs.

    python models.py --out DIR [NAME ...]

For each model it writes NAME.onnx and NAME.json, which lists the inputs and the
outputs: name, type, shape, and the file with the elements (little-endian,
row-major). The outputs are those of ONNX Runtime. Models with real weights come
out of packages; the others are architectures with seeded random weights, as
PyTorch's exporters write them: good for speed, meaningless as predictions.
"""

import argparse
import importlib
import json
import pathlib
import sys
import time

import numpy as np
import onnxruntime

import packaged

# Which module makes a model, and our goal beside ONNX Runtime with one thread: so
# many times its time. Those of `exported` need requirements-export.txt.
MODELS = {
    "minilm-l6": ("exported", 1.0),
    "minilm-l6-dynamo": ("exported", 1.0),
    "minilm-l6-int8": ("packaged", 1.0),
    "distilbert": ("exported", 1.0),
    "bert-base": ("exported", 1.0),
    "gpt2": ("exported", 1.0),
    "vit-b16": ("exported", 1.0),
    "wav2vec2-base": ("exported", 1.0),
    "resnet50": ("exported", 1.1),
    "resnet50-dynamo": ("exported", 1.1),
    "mobilenet-v2": ("exported", 1.1),
    "facenet": ("exported", 1.1),
    "yolov5s": ("exported", 1.1),
    "ppocr-v4-det": ("packaged", 1.1),
    "ppocr-v4-rec": ("packaged", 1.1),
    "silero-vad": ("packaged", 1.1),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("names", nargs="*", metavar="NAME", help="all models without")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    failed = 0
    for name in args.names or MODELS:
        start = time.monotonic()
        try:
            make(name, args.out)
            print(f"ok    {name}  {time.monotonic() - start:.0f} s", flush=True)
        except Exception as e:  # the other models are still of use
            failed += 1
            print(f"SKIP  {name}: {type(e).__name__}: {e}", flush=True)
    sys.exit(1 if failed else 0)


def make(name, out):
    """Write one model. NAME.json comes last: where it is, the rest is complete."""
    if name not in MODELS:
        raise ValueError(f"no such model; there are {', '.join(MODELS)}")
    module, goal = MODELS[name]
    recipe = getattr(importlib.import_module(module), name.replace("-", "_"))
    model = out / f"{name}.onnx"
    part = out / f"{name}.part.onnx"
    inputs = recipe(part)
    part.replace(model)
    outputs = answers(model, inputs)
    listing = {
        "inputs": save(out, f"{name}.in", inputs),
        "outputs": save(out, f"{name}.out", outputs),
        "oracle": f"onnxruntime {onnxruntime.__version__}",
        "goal": goal,
    }
    (out / f"{name}.json").write_text(json.dumps(listing, indent=1) + "\n")


def answers(model, inputs):
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs)))


def save(out, stem, tensors):
    listed = []
    for i, (name, t) in enumerate(tensors.items()):
        t = np.asarray(t)
        file = f"{stem}.{i}.bin"
        t.astype(t.dtype.newbyteorder("<")).tofile(out / file)
        listed.append({"name": name, "type": str(t.dtype), "shape": list(t.shape), "file": file})
    return listed


if __name__ == "__main__":
    main()
