"""Writes Whisper as CTranslate2 has it as two ONNX files and what stands beside them.

    python3 whisper.py --model FOLDER --out DIR      (the standard library is enough)

FOLDER has model.bin, config.json and tokenizer.json, as ct2-transformers-converter writes
them; weights of 16 or of 32 bits are taken over as they are. DIR gets

    encoder.onnx            input_features [1, mels, 3000] -> present.N.encoder.{key,value}: of
                            each layer of the decoder what it looks at of a recording
    decoder.onnx            input_ids [1, 1], past_key_values.N.{encoder,decoder}.{key,value}
                            -> logits [1, 1, tokens], present.N.decoder.{key,value}
    tokenizer.json          as it was
    generation_config.json  the tokens that are never said, under the names of transformers

The names are those of the exports of optimum. What a decoder has said is an input of it, of
length 0 at the beginning: one graph serves the first token and all others.
"""

import argparse
import json
import math
import pathlib
import shutil
import struct


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args()
    convert(args.model, args.out)


def convert(model, out):
    """Write the four files of a model."""
    weights = read_weights((model / "model.bin").read_bytes())
    out.mkdir(parents=True, exist_ok=True)
    (out / "encoder.onnx").write_bytes(encoder(weights))
    (out / "decoder.onnx").write_bytes(decoder(weights))
    shutil.copyfile(model / "tokenizer.json", out / "tokenizer.json")
    config, tokenizer = (json.loads((model / name).read_text()) for name in ("config.json", "tokenizer.json"))
    said = generation(config, tokenizer, weights["decoder/embeddings/weight"][0][0])
    (out / "generation_config.json").write_text(json.dumps(said) + "\n")


def generation(config, tokenizer, tokens):
    """What generation_config.json says. Models for many languages have a token more than those for English."""
    said = {
        "suppress_tokens": config["suppress_ids"],
        "begin_suppress_tokens": config["suppress_ids_begin"],
        "is_multilingual": tokens >= 51865,
        "max_initial_timestamp_index": 50,
    }
    if said["is_multilingual"]:
        said["lang_to_id"] = {t["content"]: t["id"] for t in tokenizer["added_tokens"] if t["id"] in config["lang_ids"]}
    return said


FLOAT, INT8, INT16, INT32, FLOAT16 = range(5)  # types of CTranslate2


def read_weights(data):
    """The variables of model.bin: shape, type and bytes of each (ctranslate2/specs/model_spec.py)."""
    at = 0

    def take(form):
        nonlocal at
        values = struct.unpack_from("<" + form, data, at)
        at += struct.calcsize("<" + form)
        return values[0] if len(values) == 1 else values

    def text():
        n = take("H")
        return take(f"{n}s").rstrip(b"\0").decode()

    version, name, _ = take("I"), text(), take("I")
    if version != 6 or name != "WhisperSpec":
        raise ValueError(f"model.bin is {name} of version {version}, expected WhisperSpec of version 6")
    weights = {}
    for _ in range(take("I")):
        name, rank = text(), take("B")
        shape = [take("I") for _ in range(rank)]
        kind, size = take("B"), take("I")
        weights[name] = shape, kind, take(f"{size}s")
    for _ in range(take("I")):
        alias = text()
        weights[alias] = weights[text()]
    if at != len(data):
        raise ValueError(f"model.bin goes on for {len(data) - at} bytes")
    return weights


def encoder(weights):
    """Two convolutions, positions, and layers that look at the whole recording."""
    g = Graph(weights)
    mels = weights["encoder/conv1/weight"][0][1]
    positions, width = weights["encoder/position_encodings/encodings"][0]
    heads = number(weights["encoder/num_heads"])
    g.input("input_features", FLOAT32, [1, mels, 2 * positions])
    x = "input_features"
    for conv, stride in ("encoder/conv1", 1), ("encoder/conv2", 2):
        x = g.node("Conv", x, g.weight(conv + "/weight"), g.weight(conv + "/bias"), kernel_shape=[3], pads=[1, 1], strides=[stride])
        x = g.node("Gelu", x)
    x = g.node("Transpose", x, perm=[0, 2, 1])
    x = g.node("Add", x, g.weight("encoder/position_encodings/encodings"))
    for layer in layers(weights, "encoder"):
        q, k, v = g.split(g.linear(g.norm(x, layer + "/self_attention/layer_norm"), layer + "/self_attention/linear_0"), 3)
        q, k, v = (g.heads(t, heads, width) for t in (q, k, v))
        x = g.node("Add", x, g.linear(g.attend(q, k, v, width // heads), layer + "/self_attention/linear_1"))
        x = g.feed_forward(x, layer)
    x = g.norm(x, "encoder/layer_norm")
    for n, layer in enumerate(layers(weights, "decoder")):
        for name, t in zip(("key", "value"), g.split(g.linear(x, layer + "/attention/linear_1"), 2)):
            g.output(g.heads(t, heads, width), f"present.{n}.encoder.{name}", FLOAT32, [1, heads, positions, width // heads])
    return g.model()


def decoder(weights):
    """Layers that look at what was said and at the recording, for one token more."""
    g = Graph(weights)
    tokens, width = weights["decoder/embeddings/weight"][0]
    heads = number(weights["decoder/num_heads"])
    heard = weights["encoder/position_encodings/encodings"][0][0]
    g.input("input_ids", INT64, [1, 1])
    x = g.node("Cast", g.node("Gather", g.stored("decoder/embeddings/weight"), "input_ids"), to=FLOAT32)
    said = g.node("Shape", "past_key_values.0.decoder.key", start=2, end=3)
    x = g.node("Add", x, g.node("Cast", g.node("Gather", g.stored("decoder/position_encodings/encodings"), said), to=FLOAT32))
    for n, layer in enumerate(layers(weights, "decoder")):
        past = {}
        for side, length in ("decoder", "said"), ("encoder", heard):
            for name in "key", "value":
                past[side, name] = g.input(f"past_key_values.{n}.{side}.{name}", FLOAT32, [1, heads, length, width // heads])
        q, k, v = g.split(g.linear(g.norm(x, layer + "/self_attention/layer_norm"), layer + "/self_attention/linear_0"), 3)
        q, k, v = (g.heads(t, heads, width) for t in (q, k, v))
        k, v = (g.node("Concat", past["decoder", name], t, axis=2) for name, t in (("key", k), ("value", v)))
        x = g.node("Add", x, g.linear(g.attend(q, k, v, width // heads), layer + "/self_attention/linear_1"))
        q = g.heads(g.linear(g.norm(x, layer + "/attention/layer_norm"), layer + "/attention/linear_0"), heads, width)
        looked = g.attend(q, past["encoder", "key"], past["encoder", "value"], width // heads)
        x = g.node("Add", x, g.linear(looked, layer + "/attention/linear_2"))
        x = g.feed_forward(x, layer)
        for name, t in ("key", k), ("value", v):
            g.output(t, f"present.{n}.decoder.{name}", FLOAT32, [1, heads, "now", width // heads])
    x = g.norm(x, "decoder/layer_norm")
    scores = g.weight("decoder/embeddings/weight")  # Whisper's projection is its embeddings
    g.output(g.node("MatMul", x, g.node("Transpose", scores, perm=[1, 0])), "logits", FLOAT32, [1, 1, tokens])
    return g.model()


def layers(weights, side):
    """The names of all layers, in their order."""
    n = len({name.split("/")[1] for name in weights if name.startswith(side + "/layer_") and not name.startswith(side + "/layer_norm")})
    return [f"{side}/layer_{i}" for i in range(n)]


def number(weight):
    """A number that stands among the weights."""
    _, kind, data = weight
    return struct.unpack({INT8: "<b", INT16: "<h", INT32: "<i"}[kind], data)[0]


class Graph:
    """A graph of ONNX that is being written."""

    def __init__(self, weights):
        self.weights = weights
        self.nodes, self.inputs, self.outputs = [], [], []
        self.initializers = {}
        self.known = {}  # what was made of a weight

    def input(self, name, kind, shape):
        self.inputs.append(value(name, kind, shape))
        return name

    def output(self, made, name, kind, shape):
        self.nodes.append(node("Identity", [made], name))
        self.outputs.append(value(name, kind, shape))

    def node(self, op, *inputs, **attributes):
        name = f"v{len(self.nodes)}"
        self.nodes.append(node(op, inputs, name, attributes))
        return name

    def constant(self, name, kind, shape, data):
        self.initializers.setdefault(name, tensor(name, kind, shape, data))
        return name

    def stored(self, name):
        """A weight in the type that it is stored in."""
        shape, kind, data = self.weights[name]
        return self.constant(name, {FLOAT: FLOAT32, FLOAT16: HALF}[kind], shape, data)

    def weight(self, name):
        """A weight of 32 bits."""
        if self.weights[name][1] == FLOAT:
            return self.stored(name)
        if name not in self.known:
            self.known[name] = self.node("Cast", self.stored(name), to=FLOAT32)
        return self.known[name]

    def integers(self, *values):
        return self.constant("i" + "_".join(map(str, values)), INT64, [len(values)], struct.pack(f"<{len(values)}q", *values))

    def norm(self, x, name):
        return self.node("LayerNormalization", x, self.weight(name + "/gamma"), self.weight(name + "/beta"), axis=-1, epsilon=1e-5)

    def linear(self, x, name):
        x = self.node("MatMul", x, self.node("Transpose", self.weight(name + "/weight"), perm=[1, 0]))
        return self.node("Add", x, self.weight(name + "/bias"))

    def split(self, x, parts):
        """Equal parts of what a layer made for each position."""
        names = [f"v{len(self.nodes)}_{i}" for i in range(parts)]
        self.nodes.append(node("Split", [x], names, {"axis": 2, "num_outputs": parts}))
        return names

    def heads(self, x, heads, width):
        x = self.node("Reshape", x, self.integers(1, -1, heads, width // heads))
        return self.node("Transpose", x, perm=[0, 2, 1, 3])

    def attend(self, q, k, v, depth):
        """What each head looks at, side by side again."""
        q = self.node("Mul", q, self.constant("scale", FLOAT32, [], struct.pack("<f", 1 / math.sqrt(depth))))
        seen = self.node("Softmax", self.node("MatMul", q, self.node("Transpose", k, perm=[0, 1, 3, 2])), axis=-1)
        x = self.node("Transpose", self.node("MatMul", seen, v), perm=[0, 2, 1, 3])
        return self.node("Reshape", x, self.integers(0, 0, -1))

    def feed_forward(self, x, layer):
        made = self.node("Gelu", self.linear(self.norm(x, layer + "/ffn/layer_norm"), layer + "/ffn/linear_0"))
        return self.node("Add", x, self.linear(made, layer + "/ffn/linear_1"))

    def model(self):
        graph = b"".join(field(1, n) for n in self.nodes) + field(2, b"whisper")
        graph += b"".join(field(5, t) for t in self.initializers.values())
        graph += b"".join(field(11, v) for v in self.inputs) + b"".join(field(12, v) for v in self.outputs)
        return field(1, 9) + field(2, b"whisper.py") + field(7, graph) + field(8, field(1, b"") + field(2, 20))


# The rest writes protocol buffers by the numbers of onnx.proto.
FLOAT32, INT64, HALF = 1, 7, 10


def node(op, inputs, outputs, attributes={}):
    outputs = [outputs] if isinstance(outputs, str) else outputs
    made = b"".join(field(1, n.encode()) for n in inputs) + b"".join(field(2, n.encode()) for n in outputs)
    return made + field(4, op.encode()) + b"".join(field(5, attribute(*a)) for a in attributes.items())


def attribute(name, v):
    made = field(1, name.encode())
    if isinstance(v, float):
        return made + varint(2 << 3 | 5) + struct.pack("<f", v) + field(20, 1)
    if isinstance(v, int):
        return made + field(3, v) + field(20, 2)
    return made + b"".join(field(8, i) for i in v) + field(20, 7)


def tensor(name, kind, shape, data):
    return b"".join(field(1, n) for n in shape) + field(2, kind) + field(8, name.encode()) + field(9, data)


def value(name, kind, shape):
    dims = b"".join(field(1, field(1, n) if isinstance(n, int) else field(2, n.encode())) for n in shape)
    return field(1, name.encode()) + field(2, field(1, field(1, kind) + field(2, dims)))


def field(number, v):
    if isinstance(v, int):
        return varint(number << 3) + varint(v)
    return varint(number << 3 | 2) + varint(len(v)) + v


def varint(n):
    n &= (1 << 64) - 1
    made = bytearray()
    while n > 127:
        made.append(n & 127 | 128)
        n >>= 7
    made.append(n)
    return bytes(made)


if __name__ == "__main__":
    main()
