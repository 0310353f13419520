"""Makes small tokenizers of every kind: some trained on the texts, as people do, and some
that have one token for each byte, so that their ids show what the step before them did."""
import base64
import collections
import json
import tempfile

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from tokenizers import AddedToken

SPECIAL = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
GPT2 = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
CL100K = r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
O200K = "|".join([
    r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
    r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
    r"""\p{N}{1,3}""", r""" ?[^\s\p{L}\p{N}]+[\r\n/]*""", r"""\s*[\r\n]+""", r"""\s+(?!\S)""", r"""\s+"""])
DEEPSEEK = r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
BEHAVIORS = ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]


def template(cls, sep):
    return processors.TemplateProcessing(
        single=f"{cls} $A {sep}", pair=f"{cls} $A {sep} $B:1 {sep}:1", special_tokens=[(cls, 1), (sep, 2)])


def trained(texts):
    """Yields names and tokenizers that are trained on the texts."""
    t = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=20))
    t.normalizer = normalizers.BertNormalizer(lowercase=False)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=900, special_tokens=SPECIAL, show_progress=False))
    t.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    t.decoder = decoders.WordPiece(cleanup=True)
    yield "wordpiece", t

    t = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    t.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.Lowercase(), normalizers.StripAccents()])
    t.pre_tokenizer = pre_tokenizers.Whitespace()
    t.train_from_iterator(texts, trainers.WordLevelTrainer(vocab_size=1500, special_tokens=SPECIAL, show_progress=False))
    yield "wordlevel", t

    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    t.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=1500, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", AddedToken("<mask>", lstrip=True)]))
    t.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    t.decoder = decoders.ByteLevel()
    yield "roberta", t

    t = Tokenizer(models.BPE(unk_token="[UNK]", fuse_unk=False, continuing_subword_prefix="##", end_of_word_suffix="</w>"))
    t.normalizer = normalizers.BertNormalizer(strip_accents=True, lowercase=True)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.train_from_iterator(texts[:3000], trainers.BpeTrainer(
        vocab_size=1200, limit_alphabet=300, special_tokens=SPECIAL, show_progress=False,
        continuing_subword_prefix="##", end_of_word_suffix="</w>"))
    t.decoder = decoders.BPEDecoder()
    yield "bpe-affixes", t

    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    t.train_from_iterator([w for s in texts[:2000] for w in s.split()], trainers.BpeTrainer(
        vocab_size=900, limit_alphabet=200, show_progress=False,
        special_tokens=["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]))
    t.post_processor = template("<s>", "</s>")
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    yield "bpe-fallback", t


def common(texts):
    """Texts without rare characters, for a trainer that keeps most of them."""
    counts = collections.Counter(c for s in texts for c in s)
    return ["".join(c for c in s if counts[c] > 40 and c.isprintable()) for s in texts]


def sentencepiece(texts, name, rule, **more):
    """A file as it is made of a SentencePiece model, with that model's charsmap."""
    import sentencepiece as spm
    with tempfile.TemporaryDirectory() as d:
        spm.SentencePieceTrainer.train(
            sentence_iterator=iter(common(texts[:4000])), model_prefix=d + "/m", vocab_size=2500,
            model_type="unigram", normalization_rule_name=rule, hard_vocab_limit=False, character_coverage=0.98, minloglevel=2, num_threads=1, **more)
        data = open(d + "/m.model", "rb").read()
    m = spm.SentencePieceProcessor(model_proto=data)
    charsmap = field(field(data, 3), 2)
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [added(i, m.id_to_piece(i)) for i in range(len(m)) if m.is_unknown(i) or m.is_control(i)],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charsmap).decode()},
            {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "WhitespaceSplit"}, {"type": "Metaspace", "replacement": "▁", "add_prefix_space": True}]},
        "post_processor": None,
        "decoder": {"type": "Metaspace", "replacement": "▁", "add_prefix_space": True},
        "model": {"type": "Unigram", "unk_id": 0, "vocab": [[m.id_to_piece(i), m.get_score(i)] for i in range(len(m))],
                  "byte_fallback": bool(more.get("byte_fallback"))},
    }


def field(data, number):
    """Return a field of bytes of a protobuf message (normalizer_spec is 3 of a model, and
    precompiled_charsmap 2 of that)."""
    def varint(at):
        n = shift = 0
        while True:
            b = data[at]
            n |= (b & 127) << shift
            at, shift = at + 1, shift + 7
            if b < 128:
                return n, at
    at, found = 0, b""
    while at < len(data):
        tag, at = varint(at)
        if tag & 7 == 2:
            size, at = varint(at)
            if tag >> 3 == number:
                found = data[at:at + size]
            at += size
        elif tag & 7 == 0:
            _, at = varint(at)
        else:
            at += {1: 8, 5: 4}[tag & 7]
    return found


def added(i, content, **flags):
    t = {"id": i, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    t.update(flags)
    return t


def alphabet():
    table = {}
    n = 0
    for b in range(256):
        if 33 <= b <= 126 or 161 <= b <= 172 or b >= 174:
            table[b] = chr(b)
        else:
            table[b] = chr(256 + n)
            n += 1
    return table


def by_bytes(normalizer=None, pre=(), tokens=(), post=None):
    """A file whose model has a token for each byte at the begin of a word, and one for
    each within."""
    chars = alphabet()
    vocab = {chars[b]: b for b in range(256)} | {"##" + chars[b]: 256 + b for b in range(256)}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": list(tokens), "normalizer": normalizer,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": list(pre) + [
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]},
        "post_processor": post, "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "##", "end_of_word_suffix": None,
                  "fuse_unk": False, "byte_fallback": False, "ignore_merges": False, "vocab": vocab, "merges": []},
    }


def steps(charsmap):
    """Yields names and files with one step that matters each."""
    for name in ["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt"]:
        yield "normalizer-" + name, by_bytes({"type": name})
    yield "normalizer-bert", by_bytes({"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True})
    yield "normalizer-strip", by_bytes({"type": "Strip", "strip_left": True, "strip_right": True})
    yield "normalizer-precompiled", by_bytes({"type": "Precompiled", "precompiled_charsmap": charsmap})
    yield "normalizer-replace", by_bytes({"type": "Sequence", "normalizers": [
        {"type": "Replace", "pattern": {"Regex": "[0-9]+|\\p{Lu}"}, "content": "<#>"}, {"type": "Replace", "pattern": {"String": "e"}, "content": ""}]})
    for name in ["BertPreTokenizer", "Whitespace", "WhitespaceSplit"]:
        yield "pre-" + name, by_bytes(pre=[{"type": name}])
    for individual in [True, False]:
        yield f"pre-digits-{individual}", by_bytes(pre=[{"type": "Digits", "individual_digits": individual}])
    for b in ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]:
        yield "pre-punctuation-" + b, by_bytes(pre=[{"type": "Punctuation", "behavior": b}])
        for invert in [True, False]:
            yield f"pre-split-{b}-{invert}", by_bytes(pre=[{"type": "Split", "pattern": {"Regex": "\\s?\\w+"}, "behavior": b, "invert": invert}])
    yield "pre-split-string", by_bytes(pre=[{"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}])
    yield "pre-delimiter", by_bytes(pre=[{"type": "CharDelimiterSplit", "delimiter": "e"}])
    yield "pre-fixed", by_bytes(pre=[{"type": "FixedLength", "length": 3}])
    for scheme in ["always", "first", "never"]:
        for split in [True, False]:
            yield f"pre-metaspace-{scheme}-{split}", by_bytes(
                {"type": "Strip", "strip_left": True, "strip_right": False},
                [{"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split}], tokens(normalized=False))
    for name, pattern in [("gpt2", GPT2), ("cl100k", CL100K), ("qwen2", CL100K.replace("{1,3}", "")), ("o200k", O200K), ("deepseek", DEEPSEEK),
                          ("bloom", " ?[^(\\s|[.,!?…。，、।۔،])]+"), ("han", "[一-龥\u3040-ゟ゠-ヿ]+"), ("digits", "\\d{1,3}(?=\\d)|\\d"),
                          ("possessive", "[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|\\p{N}{1,3}+| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*+|\\s++(?!\\S)|\\s"), ("case", "(?i:[ak]b?|'S)\\W")]:
        if name == "possessive":
            pattern = pattern.replace("{1,3}+", "{1,3}")
        yield "pattern-" + name, by_bytes(pre=[{"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}])
    for normalized in [True, False]:
        for name, flags in [("plain", {}), ("word", {"single_word": True}), ("left", {"lstrip": True}), ("right", {"rstrip": True}), ("both", {"lstrip": True, "rstrip": True})]:
            yield f"added-{name}-{normalized}", by_bytes({"type": "Lowercase"}, tokens=tokens(normalized=normalized, **flags))
    for trim in [True, False]:
        yield f"post-bytelevel-{trim}", by_bytes(tokens=tokens(normalized=False), post={"type": "ByteLevel", "add_prefix_space": trim, "trim_offsets": True, "use_regex": True})


def tokens(**flags):
    return [added(512 + i, c, special=i % 2 == 0, **flags) for i, c in enumerate(["<mask>", "the", "<s>", "</s>", "[DAY]", "day", "<|im_start|>", "的", "  "])]


def every(texts, out):
    for name, t in trained(texts):
        t.save(f"{out}/trained-{name}.json")
    files = {
        "spm": sentencepiece(texts, "spm", "nmt_nfkc"),
        "spm-fold": sentencepiece(texts, "fold", "nmt_nfkc_cf"),
        "spm-fallback": sentencepiece(texts, "fallback", "identity", byte_fallback=True),
    }
    charsmap = files["spm"]["normalizer"]["normalizers"][0]["precompiled_charsmap"]
    del files["spm-fallback"]["normalizer"]["normalizers"][0]  # there is no charsmap
    first = json.loads(json.dumps(files["spm"]))
    first["pre_tokenizer"] = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}
    files["spm-first"] = first
    files["spm-nmt"] = json.loads(json.dumps(files["spm"]))
    files["spm-nmt"]["normalizer"]["normalizers"][0:1] = [{"type": "Nmt"}, {"type": "NFKC"}]
    for name, f in files.items():
        write(f"{out}/trained-{name}.json", f)
    for name, f in steps(charsmap):
        write(f"{out}/step-{name}.json", f)


def write(path, f):
    with open(path, "w") as out:
        json.dump(f, out)
