"""Writes tiny.onnx, vocab.json and golden.json: what transformers reads in recordings with a small
Wav2Vec2 that nobody trained, and what hama's recogniser reads, whole and in windows.

    python3 golden.py HAMA_MODEL      (transformers==5.23.0 torch==2.15.0 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6)

HAMA_MODEL is asr_waveform_fp16.onnx of the PyPI package hama 1.3.13 (Apache-2.0). sounds.txt of examples/speech, its
vocabulary, is the list decoder of g2p_vocab.json in that package with <wb> and <blank> after it.
"""

import json
import pathlib
import sys
import wave

import numpy
import onnxruntime
import torch
from transformers import Wav2Vec2Config, Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC
from transformers import AutomaticSpeechRecognitionPipeline

HERE = pathlib.Path(__file__).resolve().parent
SOUNDS = HERE.parent.parent / "sound" / "testdata"
TOKENS = ["<pad>", "<s>", "</s>", "<unk>", "|"] + list("ETAONIHSRDLUMWCFGYPBVK'XJQZ")
CASES = (["young"], ["amiable"], ["leisure"], ["leisure", 5000, "young", 9000, "amiable", 1, "leisure", 16000, "young", 7, "leisure", "amiable", "young"])


def main():
    hear = tiny()
    hama = Hama(sys.argv[1])
    cases = []
    for parts in CASES:
        audio = numpy.concatenate([sound(p) for p in parts])
        cases.append({"parts": parts, "samples": len(audio), "tiny": hear(audio, 12), "hama": hama.read(audio, 12)})
    (HERE / "golden.json").write_text(json.dumps(cases, separators=(",", ":"), ensure_ascii=False) + "\n")


def sound(part):
    """A recording, or so much silence."""
    if isinstance(part, int):
        return numpy.zeros(part, numpy.float32)
    with wave.open(str(SOUNDS / (part + ".wav"))) as w:
        return numpy.frombuffer(w.readframes(w.getnframes()), "<i2").astype(numpy.float32) / 32768


def tiny():
    """The pipeline of transformers with a small model."""
    torch.manual_seed(7)
    (HERE / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(TOKENS)}) + "\n")
    model = Wav2Vec2ForCTC(Wav2Vec2Config(
        vocab_size=len(TOKENS), hidden_size=24, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        conv_dim=(12,) * 7, num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2, feat_extract_norm="layer",
        do_stable_layer_norm=True, pad_token_id=0)).eval()
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() > 1:
                p.mul_(4)
    torch.onnx.export(Logits(model).eval(), (torch.zeros(1, 16000),), str(HERE / "tiny.onnx"), input_names=["input_values"], output_names=["logits"],
                      dynamic_axes={"input_values": {1: "samples"}, "logits": {1: "frames"}}, opset_version=17, dynamo=False)
    tokenizer = Wav2Vec2CTCTokenizer(str(HERE / "vocab.json"))
    features = Wav2Vec2FeatureExtractor(feature_size=1, sampling_rate=16000, padding_value=0.0, do_normalize=True, return_attention_mask=False)
    ask = AutomaticSpeechRecognitionPipeline(model=model, tokenizer=tokenizer, feature_extractor=features, device="cpu")
    return lambda audio, seconds: ask({"raw": audio, "sampling_rate": 16000}, chunk_length_s=seconds, stride_length_s=seconds / 6)["text"]


class Logits(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x).logits


class Hama:
    """hama's recogniser, as hama.asr.ASRModel asks it, without the bias against blanks."""

    def __init__(self, file):
        self.session = onnxruntime.InferenceSession(file)
        self.tokens = (HERE.parents[3] / "examples/speech/sounds.txt").read_text().split("\n")[:-1]

    def frames(self, audio):
        out, lengths = self.session.run(["log_probs", "out_lengths"], {"waveform": audio[None], "waveform_lengths": numpy.array([len(audio)])})
        return out[0, : int(lengths[0])]

    def read(self, audio, seconds):
        length, hop = seconds * 16000, 320
        if len(audio) <= length:
            return self.text(self.frames(audio))
        parts, overlap, start = [], length // 6, 0
        while True:  # as chunk_iter of transformers does
            piece = audio[start : start + length]
            last = start + length >= len(audio)
            frames = self.frames(piece)
            parts.append(frames[overlap // hop if start else 0 : len(frames) if last else (length - overlap) // hop])
            if last:
                return self.text(numpy.concatenate(parts))
            start += length - 2 * overlap

    def text(self, frames):
        out, before = "", -1
        for i in frames.argmax(-1):
            if i != before and self.tokens[i] != "<blank>":
                out += " " if self.tokens[i] == "<wb>" else self.tokens[i]
            before = i
        return " ".join(out.split())


if __name__ == "__main__":
    main()
