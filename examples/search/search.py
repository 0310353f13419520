"""Finds the lines of a file that mean what was asked, whatever their words: as main.go, in Python.

    python3 search.py DOCUMENTS QUESTION
"""

import os
import pathlib
import sys

import blindbox

lines = pathlib.Path(sys.argv[1]).read_text("utf-8").splitlines()
with blindbox.connect(os.environ["BLINDBOX_BOX"], trust="trust.yaml") as box:
    *documents, question = box.run("minilm", [*lines, sys.argv[2]])["embedding"].as_numpy()

scores = [float(d @ question) for d in documents]
for i in sorted(range(len(lines)), key=lambda i: -scores[i])[:3]:
    print(f"{scores[i]:.2f}  {lines[i]}")
