"""Writes golden.json: numbers of the spectrograms that openai-whisper makes of recordings.

    python3 golden.py AUDIO_PY      (numpy==2.4.6 torch==2.15.0)

AUDIO_PY is whisper/audio.py of the PyPI package openai-whisper 20250625 (MIT), with
assets/mel_filters.npz beside it.
"""

import json
import pathlib
import sys
import wave

import numpy
import torch

HERE = pathlib.Path(__file__).resolve().parent
SOUNDS = HERE.parent.parent / "sound" / "testdata"
CASES = (["young", 80], ["leisure", 80], ["amiable", 128], ["", 80])


def main():
    whisper = load(sys.argv[1])
    cases = []
    for name, bands in CASES:
        audio = sound(name)
        mel = whisper.log_mel_spectrogram(torch.from_numpy(audio), bands, padding=480000).numpy()
        whole = mel.T[: len(audio) // 160].astype(numpy.float64)
        # Each of the last frames and of each 16th before them, and the sum of all.
        rows = sorted({*range(0, len(whole), 16), *range(len(whole) - 8, len(whole))})
        cases.append({"name": name, "bands": bands, "frames": mel.shape[1] - 3000, "sum": whole.sum(),
                      "rows": {int(r): [round(float(v), 5) for v in whole[r]] for r in rows if r >= 0}})
    (HERE / "golden.json").write_text("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]\n")


def load(path):
    """The file without the package, which wants more than it needs here."""
    import importlib.util
    import types
    package = types.ModuleType("whisper")
    package.__path__ = []
    utils = types.ModuleType("whisper.utils")
    utils.exact_div = lambda x, y: x // y
    sys.modules.update({"whisper": package, "whisper.utils": utils})
    spec = importlib.util.spec_from_file_location("whisper.audio", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sound(name):
    if not name:
        return numpy.zeros(3300, numpy.float32)
    with wave.open(str(SOUNDS / (name + ".wav"))) as w:
        return numpy.frombuffer(w.readframes(w.getnframes()), "<i2").astype(numpy.float32) / 32768


if __name__ == "__main__":
    main()
