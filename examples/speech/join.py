"""Puts recordings of one form together, with a second of silence between them: python3 join.py TO FROM..."""

import sys
import wave

with wave.open(sys.argv[1], "wb") as to:
    for name in sys.argv[2:]:
        with wave.open(name) as w:
            if not to.getnframes():
                to.setparams(w.getparams())
            to.writeframes(w.readframes(w.getnframes()) + bytes(w.getframerate() * w.getsampwidth() * w.getnchannels()))
