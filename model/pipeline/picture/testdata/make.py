"""Writes the pictures of this folder and what Pillow and torchvision make of them.

    python3 make.py      (pillow==13.0.0, torch==2.15.0, torchvision==0.29.2, numpy==2.4.6)
"""

import io
import json
import pathlib

import numpy as np
from PIL import Image, ImageDraw, ImageOps
from torchvision import transforms

HERE = pathlib.Path(__file__).parent
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}


def scene(w, h):
    """Slopes, edges, shapes and some noise, in colour."""
    y, x = np.mgrid[0:h, 0:w]
    rgb = np.stack([x * 255 // w, y * 255 // h, (x * 7 + y * 3) % 256], axis=2)
    rgb += np.random.default_rng(42).integers(-20, 20, (h, w, 1))
    image = Image.fromarray(np.clip(rgb, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    draw.ellipse((w // 8, h // 8, w // 2, h // 2), fill=(250, 30, 40))
    draw.rectangle((w // 2, h // 2, w * 7 // 8, h * 3 // 4), fill=(10, 20, 240), outline=(255, 255, 255))
    return image


def save(image, name, **options):
    image.save(HERE / name, **options)


def on_white(image):
    image = image.convert("RGBA")
    out = Image.new("RGBA", image.size, (255, 255, 255, 255))
    a = np.asarray(image, np.uint32)
    alpha = a[..., 3:]
    rgb = (a[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255
    return Image.fromarray(rgb.astype(np.uint8))


def decoded():
    """Files of each kind, and what they show."""
    plain = scene(61, 47)
    alpha = plain.copy()
    alpha.putalpha(Image.fromarray((np.mgrid[0:47, 0:61][1] * 4).astype(np.uint8)))
    palette = plain.quantize(40)
    clear = plain.quantize(8)
    kinds = {
        "rgb.png": (plain, {}), "alpha.png": (alpha, {}), "gray.png": (plain.convert("L"), {}),
        "palette.png": (palette, {}), "clear.png": (clear, {"transparency": 3}), "bits.png": (plain.convert("1"), {}),
        "rgb.jpg": (plain, {"quality": 92, "subsampling": 0}), "half.jpg": (plain, {"quality": 92, "subsampling": 2}),
        "progressive.jpg": (plain, {"quality": 92, "progressive": True, "subsampling": 0}), "gray.jpg": (plain.convert("L"), {"quality": 92}),
        "cmyk.jpg": (plain.convert("CMYK"), {"quality": 92}),
    }
    for name, (image, options) in kinds.items():
        save(image, name, **options)
        shown = Image.open(HERE / name)
        shown = on_white(shown) if shown.mode in ("RGBA", "P", "LA") else shown.convert("RGB")
        save(shown, name + ".shown.png")
    for turn in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = turn
        save(scene(40, 24), f"turn{turn}.jpg", quality=95, subsampling=0, exif=exif)
        save(ImageOps.exif_transpose(Image.open(HERE / f"turn{turn}.jpg")), f"turn{turn}.jpg.shown.png")


def as_stored(data, factors, w, h):
    """The file with other sampling factors of its first component, and another size: the same blocks, put together in
    another way. Pillow writes no 4:4:0 and no 4:1:1."""
    at = data.index(b"\xff\xc0") + 4  # of SOF0: precision, height, width, components, and of the first its number
    return data[: at + 1] + h.to_bytes(2, "big") + w.to_bytes(2, "big") + data[at + 5 : at + 7] + bytes([factors]) + data[at + 8 :]


def smoothed():
    """Files whose colours are stored for several pixels at once. In blocks of one colour nothing is left to the
    rounding of the inverse cosine transform, so that these are exactly what Pillow shows."""
    rng = np.random.default_rng(7)

    def blocks(w, h, side):
        one = rng.integers(0, 256, ((h + side - 1) // side, (w + side - 1) // side, 3)).astype(np.uint8)
        return Image.fromarray(np.repeat(np.repeat(one, side, 0), side, 1)[:h, :w])

    def jpeg(image, subsampling):
        data = io.BytesIO()
        image.save(data, "jpeg", quality=95, subsampling=subsampling)
        return data.getvalue()

    files = {
        "blocks.h2v2": jpeg(blocks(77, 53, 16), 2), "blocks.h2v1": jpeg(blocks(77, 53, 16), 1),
        "blocks.h1v2": as_stored(jpeg(blocks(64, 64, 16), 1), 0x12, 29, 125),
        "blocks.h4v1": as_stored(jpeg(blocks(77, 53, 16), 2), 0x41, 157, 29),
        "wide.h2v2": jpeg(blocks(33, 1, 16), 2),
        "narrow.h2v2": jpeg(blocks(4, 9, 1), 2), "narrow.h2v1": jpeg(blocks(3, 5, 1), 1), "five.h2v2": jpeg(blocks(5, 3, 1), 2),
    }
    for name, data in files.items():
        (HERE / f"{name}.jpg").write_bytes(data)
        save(Image.open(HERE / f"{name}.jpg").convert("RGB"), f"{name}.jpg.shown.png")


def resized():
    """Sizes, smaller and larger, and filters: names say which."""
    plain = Image.open(HERE / "rgb.png")
    for name, how in FILTERS.items():
        for w, h in [(20, 20), (61, 10), (7, 47), (100, 90), (1, 1)]:
            save(plain.resize((w, h), how), f"rgb.{name}.{w}x{h}.png")


def steps():
    """What torchvision's steps for image models give: sizes, and the values."""
    out = []
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    for w, h, resize, crop in [(61, 47, 32, 28), (47, 61, 32, 27), (33, 50, 25, 24), (50, 50, 31, 20), (120, 9, 16, 16)]:
        image = scene(w, h)
        small = transforms.Resize(resize)(image)
        cut = transforms.CenterCrop(crop)(small)
        values = transforms.Compose([transforms.ToTensor(), transforms.Normalize(mean, std)])(cut)
        data = io.BytesIO()
        image.save(data, "png")
        name = f"scene{w}x{h}.png"
        (HERE / name).write_bytes(data.getvalue())
        out.append({
            "file": name, "resize": resize, "crop": crop, "resized": list(small.size),
            "values": values.flatten()[::97].tolist(), "sum": float(values.double().sum()),
        })
    (HERE / "steps.json").write_text(json.dumps(out) + "\n")


def main():
    decoded()
    smoothed()
    resized()
    steps()


if __name__ == "__main__":
    main()
