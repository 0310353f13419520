"""Encodes texts with Hugging Face's tokenizers, as a peer for the tests.

    oracle.py train TEXTS DIR        train small tokenizers of each kind into DIR
    oracle.py encode TEXTS OUT FILE... one line of JSON for each file and text
    oracle.py time TEXTS FILE          the best of five rounds over all texts

TEXTS has one JSON string a line.
"""
import json
import os
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # one thread, as ours

from tokenizers import Tokenizer  # noqa: E402


def encode(texts, out, files):
    with open(out, "w") as f:
        for file in files:
            t = Tokenizer.from_file(file)
            t.no_truncation()
            t.no_padding()
            for i, text in enumerate(texts):
                e = t.encode(text)
                line = {"ids": e.ids}
                if i % 5 == 0:
                    line |= {"types": e.type_ids, "offsets": [x for o in e.offsets for x in o], "special": e.special_tokens_mask}
                if i % 7 == 0:
                    p = t.encode(text, texts[(i * 31 + 5) % len(texts)], add_special_tokens=i % 2 == 0)
                    line["pair"] = p.ids
                    line["pairTypes"] = p.type_ids
                if i % 3 == 0:
                    line["decoded"] = t.decode(e.ids, skip_special_tokens=i % 2 == 0)
                f.write(json.dumps(line, separators=(",", ":")) + "\n")


def clock(texts, file):
    t = Tokenizer.from_file(file)
    t.no_truncation()
    t.no_padding()
    best = 1e9
    for _ in range(5):
        start = time.perf_counter()
        for text in texts:
            t.encode_batch_fast([text])
        best = min(best, time.perf_counter() - start)
    size = sum(len(s.encode()) for s in texts)
    print(f"{size / best / 1e6:.1f} MB/s, {len(texts) / best:.0f} texts/s")


def main():
    texts = [json.loads(line) for line in open(sys.argv[2])]
    if sys.argv[1] == "train":
        import train
        train.every(texts, sys.argv[3])
    elif sys.argv[1] == "time":
        clock(texts, sys.argv[3])
    else:
        encode(texts, sys.argv[3], sys.argv[4:])


main()
