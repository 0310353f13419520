"""Measures faster-whisper on the recording of BenchmarkTranscribe of model/pipeline, with one thread.

    python3 time.py FOLDER [ROUNDS]      (faster-whisper==1.2.1 ctranslate2==4.8.5 numpy==2.4.6)

FOLDER is what golden.py wants. Printed is the least processor time of all rounds, and how much that is of the
time that the recording takes, with weights of 32 bits and of 8.
"""

import sys
import time

import numpy
from faster_whisper import WhisperModel

import golden


def main():
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    parts = [part for name in ("jfk", "leisure", "young", "jfk", "amiable") for part in (name, 16000)]
    audio = numpy.concatenate([golden.sound(p) for p in parts])
    for kind in "float32", "int8":
        model = WhisperModel(sys.argv[1], device="cpu", compute_type=kind, cpu_threads=1)
        best = min(measure(model, audio) for _ in range(rounds))
        print(f"{kind}: {best:.2f} s, {best / (len(audio) / 16000):.4f} of its time")


def measure(model, audio):
    begin = time.process_time()
    segments, _ = model.transcribe(audio, beam_size=1, temperature=0, condition_on_previous_text=False, language="en")
    list(segments)
    return time.process_time() - begin


if __name__ == "__main__":
    main()
