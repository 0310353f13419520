"""What the models are asked: pictures of text, sound, and token ids, all from fixed seeds."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont


def page(height, width, size):
    """A picture full of lines."""
    return drawn(height, width, size, [f"Line {i} of a page, {i * 7919}" for i in range(height // (2 * size))])


def line(text):
    """A picture of one line, of the height that text readers take."""
    return drawn(48, 320, 32, [text])


def drawn(height, width, size, lines):
    image = Image.new("L", (width, height), "white")
    draw = ImageDraw.Draw(image)
    for i, text in enumerate(lines):
        draw.text((8, 4 + 2 * size * i), text, fill="black", font=ImageFont.load_default(size))
    return image


def pixels(image):
    """As these models' users prepare a picture: (x/255 - 0.5) / 0.5 for each of three colours."""
    grey = np.asarray(image, np.float32)
    return np.stack([(grey / 255 - 0.5) / 0.5] * 3)[None]


def sound(samples, rate=16000):
    """A chord with noise."""
    t = np.arange(samples) / rate
    tone = sum(np.sin(2 * np.pi * f * t) / (i + 2) for i, f in enumerate([140, 280, 420, 710]))
    noise = np.random.default_rng(7).standard_normal(samples)
    return (0.3 * tone + 0.01 * noise).astype(np.float32)


def noise(*shape):
    return np.random.default_rng(5).standard_normal(shape, np.float32)


def tokens(batch, length, vocabulary, segments=False):
    """Token ids of full length, as a long text gives them."""
    ids = np.random.default_rng(11).integers(1000, vocabulary, (batch, length), np.int64)
    feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    if segments:
        feeds["token_type_ids"] = np.zeros_like(ids)
    return feeds
