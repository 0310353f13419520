"""Runs one model with ONNX Runtime, as bench/onnx (Go) tells it to.

    python ort.py DIR NAME THREADS

Speaks lines of JSON: what it loaded first, then an answer to each line read.
"""

import json
import pathlib
import sys
import time

import numpy as np
import onnxruntime


def main():
    folder, name, threads = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    listing = json.loads((folder / f"{name}.json").read_text())
    feeds = {t["name"]: read(folder, t) for t in listing["inputs"]}
    idle = memory("VmRSS")
    start = time.perf_counter_ns()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads  # the rest as users have it: 2 threads spin, 1 does not
    session = onnxruntime.InferenceSession(str(folder / f"{name}.onnx"), options, providers=["CPUExecutionProvider"])
    loaded = time.perf_counter_ns() - start
    answer({"engine": f"ONNX Runtime {onnxruntime.__version__}", "load_ns": loaded, "idle_kib": idle})
    for line in sys.stdin:
        command = json.loads(line)
        answer({"runs_ns": runs(session, feeds, command["for_ns"]), "peak_kib": memory("VmHWM")})


def runs(session, feeds, budget):
    """Run until the time is used up, at least once."""
    times, left = [], budget
    while not times or left > 0:
        start = time.perf_counter_ns()
        session.run(None, feeds)
        times.append(time.perf_counter_ns() - start)
        left -= times[-1]
    return times


def read(folder, t):
    return np.fromfile(folder / t["file"], t["type"]).reshape(t["shape"])


def memory(field):
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    return 0


def answer(values):
    print(json.dumps(values), flush=True)


if __name__ == "__main__":
    main()
