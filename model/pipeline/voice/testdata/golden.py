"""Writes golden.json: what the package silero-vad finds in recordings and in made-up probabilities.

    python3 golden.py      (silero-vad==6.2.3 onnxruntime==1.32.0 torch==2.15.0 numpy==2.4.6)

The recordings are those of ../../sound/testdata.
"""

import json
import pathlib
import wave

import numpy
import silero_vad
import torch
from silero_vad.utils_vad import get_speech_timestamps_from_probs

HERE = pathlib.Path(__file__).parent
SOUNDS = HERE.parent.parent / "sound" / "testdata"
OTHER = {"threshold": 0.3, "min_silence_duration_ms": 300, "min_speech_duration_ms": 100, "speech_pad_ms": 200}
HIGH = {"threshold": 0.9, "min_silence_duration_ms": 0, "min_speech_duration_ms": 0, "speech_pad_ms": 0}


def main():
    model = silero_vad.load_silero_vad(onnx=True)
    found = []
    for parts in (["leisure"], ["young"], ["amiable"], ["young", 8000, "leisure", 3200, "amiable", 1, "young", 24000], [16000]):
        for rate in (16000, 8000):
            for options in ({}, OTHER, HIGH):
                audio = torch.from_numpy(numpy.concatenate([sound(p) for p in parts])[:: 16000 // rate].copy())
                heard = []
                ask = lambda x, sr: heard.append(model(x, sr).item()) or torch.tensor([heard[-1]])
                ask.reset_states = model.reset_states
                segments = silero_vad.get_speech_timestamps(audio, ask, sampling_rate=rate, **options)
                found.append({"parts": parts, "rate": rate, "options": options, "probabilities": [round(p, 6) for p in heard],
                              "segments": [[s["start"], s["end"]] for s in segments]})
    cut = []
    for seed in range(120):
        rate = (16000, 8000)[seed % 2]
        options = ({}, OTHER, HIGH)[seed % 3]
        probabilities, samples = made_up(seed, rate)
        segments = get_speech_timestamps_from_probs(probabilities, sampling_rate=rate, audio_length_samples=samples, **options)
        cut.append({"seed": seed, "rate": rate, "options": options, "segments": [[s["start"], s["end"]] for s in segments]})
    (HERE / "golden.json").write_text(json.dumps({"found": found, "cut": cut}, separators=(",", ":")) + "\n")


def sound(part):
    """A recording, or so much silence."""
    if isinstance(part, int):
        return numpy.zeros(part, numpy.float32)
    with wave.open(str(SOUNDS / (part + ".wav"))) as w:
        return numpy.frombuffer(w.readframes(w.getnframes()), "<i2").astype(numpy.float32) / 32768


def made_up(seed, rate):
    """Probabilities of 1/1024 that wander, and the length of the recording that they are of."""
    state, p, out = seed, 512, []
    for _ in range(200):
        state = (state * 1664525 + 1013904223) % 2**32
        step = (state >> 16) % 513 - 256
        p = min(1024, max(0, p + step))
        out.append(p / 1024)
    return out, 199 * rate // 1000 * 32 + 1 + seed


if __name__ == "__main__":
    main()
