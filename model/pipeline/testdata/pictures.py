"""Writes pictures.json: what a real model of pictures says of some.

    python3 pictures.py CLS      (pillow==13.0.0, numpy==2.4.6, onnxruntime==1.32.0)

CLS is PP-OCR's model that tells whether a line of text is upside down (bench/onnx/fetch.py gets it). Pillow
prepares the pictures as torchvision does.
"""

import json
import pathlib
import sys

import numpy as np
import onnxruntime
from PIL import Image

HERE = pathlib.Path(__file__).parent
PICTURES = ["crop0.png", "crop1.png", "crop2.png", "crop3.png", "crop4.png", "invoice.png"]


def values(name):
    image = Image.open(HERE.parent / "ocr" / "testdata" / name).convert("RGB")
    small = np.asarray(image.resize((192, 48), Image.Resampling.BILINEAR), np.float32)[:, :, ::-1] / np.float32(255)
    return ((small - np.float32(0.5)) / np.float32(0.5)).transpose(2, 0, 1)[None]


def main():
    session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
    out = {name: session.run(None, {"x": values(name)})[0][0].tolist() for name in PICTURES}
    (HERE / "pictures.json").write_text(json.dumps(out, indent=1) + "\n")
    print(out)


if __name__ == "__main__":
    main()
