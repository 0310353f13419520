"""Measures RapidOCR on the pictures of this folder, with one thread: processor time.

    python3 time.py DET REC KEYS [ROUNDS]

BenchmarkOCR of model/pipeline measures the same work: PNG or JPEG to lines. Lines are read one at a
time, and in batches of six, which is what RapidOCR does unless told otherwise.
"""

import sys
import time

from rapidocr_onnxruntime import RapidOCR

import make


def main():
    det, rec, keys = sys.argv[1:4]
    rounds = int(sys.argv[4]) if len(sys.argv) > 4 else 10
    ocr = RapidOCR(det_model_path=det, rec_model_path=rec, rec_keys_path=keys, use_cls=False, intra_op_num_threads=1, inter_op_num_threads=1)
    for batch in 1, 6:
        ocr.text_rec.rec_batch_num = batch
        for name in ["page.png", "invoice.png", "slanted.jpg"]:
            best = min(measure(ocr, name) for _ in range(rounds))
            print(f"{name} batch {batch}: {best * 1000:.1f} ms")


def measure(ocr, name):
    begin = time.process_time()
    ocr(make.as_seen(name))
    return time.process_time() - begin


if __name__ == "__main__":
    main()
