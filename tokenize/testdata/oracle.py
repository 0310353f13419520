"""Encodes texts with Hugging Face's tokenizers, as a peer for the tests.

    oracle.py train TEXTS DIR        train small tokenizers of each kind into DIR
    oracle.py encode TEXTS OUT FILE... one line of JSON for each file and text

TEXTS has one JSON string a line.
"""
import json
import sys

from tokenizers import Tokenizer


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


def main():
    texts = [json.loads(line) for line in open(sys.argv[2])]
    if sys.argv[1] == "train":
        import train
        train.every(texts, sys.argv[3])
    else:
        encode(texts, sys.argv[3], sys.argv[4:])


main()
