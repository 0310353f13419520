"""Writes golden.json: what SciPy and soxr make of sounds at other rates.

    python3 golden.py      (scipy==1.17.1 soxr==1.1.0 numpy==2.4.6)
"""

import json
import math
import pathlib

import numpy
import scipy.io.wavfile
import scipy.signal
import soxr

CROSSINGS, BETA, CUTOFF = 32, 7.857, 0.9217
HERE = pathlib.Path(__file__).parent


def main():
    cases = []
    for source, rate, to in (
        ("noise", 44100, 16000), ("noise", 48000, 16000), ("noise", 8000, 16000), ("noise", 22050, 16000),
        ("noise", 11025, 16000), ("noise", 192000, 8000), ("noise", 44101, 16000), ("noise", 16000, 44100),
        ("young.wav", 16000, 8000), ("young.wav", 16000, 11025), ("young.wav", 16000, 48000),
    ):
        x = noise() if source == "noise" else scipy.io.wavfile.read(HERE / source)[1] / 32768
        y = resample(x, rate, to)
        z = soxr.resample(x, rate, to, quality="VHQ")
        step = max(1, len(y) // 400)
        cases.append({"source": source, "from": rate, "to": to, "length": len(y), "step": step,
                      "scipy": [round(v, 9) for v in y[::step]], "soxr": [round(v, 9) for v in z[::step]]})
    (HERE / "golden.json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")


def noise():
    """A tenth of a second at 44,100 a second of a sum of tones and of a linear congruential generator."""
    state, out = 1, []
    for i in range(4410):
        state = (state * 1664525 + 1013904223) % 2**32
        out.append(0.25 * math.sin(i * 0.05) + 0.25 * math.sin(i * i * 1e-4) + (state >> 16) / 65536 * 0.25)
    return numpy.round(numpy.array(out) * 32767) / 32768


def resample(x, rate, to):
    """SciPy's polyphase filter with the window of package sound."""
    g = math.gcd(rate, to)
    up, down = to // g, rate // g
    scale = CUTOFF * min(1, to / rate)
    width = CROSSINGS / scale
    half = math.ceil(width * up)
    t = numpy.arange(-half, half + 1) / up
    inside = numpy.abs(t) < width
    h = numpy.zeros(len(t))
    h[inside] = scale * numpy.sinc(scale * t[inside]) * numpy.i0(BETA * numpy.sqrt(1 - (t[inside] / width) ** 2)) / numpy.i0(BETA)
    return scipy.signal.resample_poly(x, up, down, window=h / up)


if __name__ == "__main__":
    main()
