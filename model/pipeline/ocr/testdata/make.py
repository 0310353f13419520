"""Writes the pictures of this folder, and what RapidOCR makes of them.

    python3 make.py PAGE DET REC KEYS CLS

PAGE is skimage/data/page.png of the wheel scikit-image==0.26.0; DET and REC are PP-OCRv4's models,
KEYS its characters and CLS its model for lines that are upside down (bench/onnx/fetch.py gets them). It needs rapidocr-onnxruntime==1.4.4, pillow==13.0.0,
opencv-python==5.0.0.93, onnxruntime==1.32.0.
"""

import json
import pathlib
import shutil
import sys

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from rapidocr_onnxruntime import RapidOCR

HERE = pathlib.Path(__file__).parent
PICTURES = ["page.png", "invoice.png", "slanted.jpg", "night.png", "spine.png"]


def font(size):
    return ImageFont.load_default(size)


def paper(w, h, color=(250, 249, 244)):
    return Image.new("RGB", (w, h), color)


def invoice():
    """Columns of words and numbers."""
    image = paper(900, 740)
    draw = ImageDraw.Draw(image)
    draw.text((60, 40), "Northwind Clinic", (20, 20, 60), font(48))
    draw.text((60, 110), "Invoice 2024-0117", (40, 40, 40), font(30))
    rows = [("Consultation", "2", "120.00"), ("Blood test", "1", "48.50"), ("X-ray, left hand", "1", "95.00"), ("Bandage", "3", "7.20")]
    for i, row in enumerate(rows):
        for x, text in zip((60, 520, 700), row):
            draw.text((x, 220 + 70 * i), text, (10, 10, 10), font(32))
    draw.line((60, 520, 840, 520), (90, 90, 90), 3)
    draw.text((60, 550), "Total", (10, 10, 10), font(38))
    draw.text((690, 550), "$ 285.10", (160, 20, 20), font(38))
    draw.text((60, 660), "Payment within 30 days. Thank you!", (90, 90, 90), font(24))
    image.save(HERE / "invoice.png", optimize=True)


def slanted():
    """Lines that rise by 7 degrees, in a photograph that a camera held upright."""
    image = paper(1000, 800, (225, 230, 235))
    draw = ImageDraw.Draw(image)
    for i, text in enumerate(["Keep this box sealed", "until the nurse opens it", "Room 42, second floor"]):
        draw.text((150, 200 + 130 * i), text, (30, 50, 30), font(58))
    noise = np.random.default_rng(7).normal(0, 4, (800, 1000, 1))
    image = Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))
    image = image.rotate(7, Image.Resampling.BICUBIC, fillcolor=(225, 230, 235))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.transpose(Image.Transpose.ROTATE_90).save(HERE / "slanted.jpg", quality=75, exif=exif)


def night():
    """Light on dark."""
    image = paper(800, 736, (18, 22, 40))
    draw = ImageDraw.Draw(image)
    draw.text((80, 120), "OPEN ALL NIGHT", (250, 220, 90), font(72))
    draw.text((80, 300), "Pharmacy & Emergency", (230, 240, 255), font(50))
    draw.text((80, 460), "call 555-0199", (120, 250, 160), font(60))
    image.save(HERE / "night.png", optimize=True)


def spine():
    """A line that runs down, beside one that does not."""
    image = paper(760, 760, (240, 235, 220))
    draw = ImageDraw.Draw(image)
    line = Image.new("L", (560, 70), 0)
    ImageDraw.Draw(line).text((5, 5), "Private records", 255, font(52))
    line = line.transpose(Image.Transpose.ROTATE_270)
    image.paste((60, 20, 20), (80, 90), line)
    draw.text((250, 330), "Volume seven", (20, 20, 20), font(56))
    image.save(HERE / "spine.png", optimize=True)


def engine(det, rec, keys, use_cls=False, **options):
    """RapidOCR, which reads one line at a time: in a batch, lines are filled up to the longest."""
    ocr = RapidOCR(det_model_path=det, rec_model_path=rec, rec_keys_path=keys, use_cls=use_cls, **options)
    ocr.text_rec.rec_batch_num = 1
    return ocr


def as_seen(name):
    from PIL import ImageOps
    return np.array(ImageOps.exif_transpose(Image.open(HERE / name)).convert("RGB"))[:, :, ::-1].copy()


def read(ocr, name, upside_down=False):
    image = as_seen(name)
    result, _ = ocr(image[::-1, ::-1].copy() if upside_down else image)
    return [{"text": text, "score": round(float(score), 4), "box": [[int(x), int(y)] for x, y in box]} for box, text, score in result or []]


def maps(ocr, name):
    """The detector's map in 8 bits, and the boxes that RapidOCR makes of it."""
    image = as_seen(name)
    h, w = image.shape[:2]
    detector = ocr.text_det
    pred = detector.infer(detector.get_preprocess(max(h, w))(image))[0]
    levels = np.round(pred[0, 0] * 255).astype(np.uint8)
    stem = name.split(".")[0]
    Image.fromarray(levels).save(HERE / f"{stem}.map.png", optimize=True)
    pred[0, 0] = levels.astype(np.float32) / 255
    out = []
    for threshold, box, unclip, dilate in [(0.3, 0.5, 1.6, True), (0.3, 0.6, 1.5, False), (0.6, 0.7, 2.0, False)]:
        post = detector.postprocess_op
        post.thresh, post.box_thresh, post.unclip_ratio = threshold, box, unclip
        post.dilation_kernel = np.array([[1, 1], [1, 1]]) if dilate else None
        boxes, scores = post(pred, (h, w))
        order = np.argsort(-np.array(scores), kind="stable")
        boxes = detector.filter_tag_det_res(boxes, (h, w))
        boxes = ocr.sorted_boxes(boxes)
        out.append({
            "map": f"{stem}.map.png", "w": w, "h": h, "threshold": threshold, "box": box, "unclip": unclip, "dilate": dilate,
            "boxes": [b.astype(int).tolist() for b in boxes], "scores": sorted(float(s) for s in scores),
        })
    return out


def crops(ocr):
    """What OpenCV cuts out of pictures, and makes a line of."""
    out = []
    for name, quad in [
        ("page.png", [[4, 46], [377, 50], [376, 70], [3, 66]]), ("page.png", [[0, 0], [210, 0], [210, 34], [0, 34]]),
        ("slanted.jpg", [[140, 250], [700, 181], [708, 246], [148, 315]]), ("spine.png", [[80, 90], [150, 90], [150, 600], [80, 600]]),
        ("night.png", [[60, 100], [600, 140], [660, 220], [90, 190]]),
    ]:
        image = as_seen(name)
        crop = ocr.get_crop_img_list(image, [np.array(quad, np.float32)])[0]
        file = f"crop{len(out)}.png"
        Image.fromarray(crop[:, :, ::-1]).save(HERE / file, optimize=True)
        h, w = crop.shape[:2]
        line = ocr.text_rec.resize_norm_img(crop, max(320 / 48, w / h))
        out.append({"file": name, "quad": quad, "crop": file, "shape": list(line.shape), "values": [round(float(v), 6) for v in line.flatten()[::997]]})
    return out


def main():
    page, det, rec, keys, cls = sys.argv[1:]
    shutil.copy(page, HERE / "page.png")
    for draw in (invoice, slanted, night, spine):
        draw()
    ocr = engine(det, rec, keys)
    golden = {"read": {name: read(ocr, name) for name in PICTURES}, "crops": crops(ocr), "maps": []}
    low = engine(det, rec, keys, det_limit_side_len=560, det_box_thresh=0.4)
    golden["low"] = {"page.png": read(low, "page.png")}
    turned = engine(det, rec, keys, use_cls=True, cls_model_path=cls)
    golden["turned"] = {name: read(turned, name, upside_down=True) for name in ("invoice.png", "night.png")}
    for name in ("page.png", "slanted.jpg", "invoice.png"):
        golden["maps"] += maps(ocr, name)
    (HERE / "golden.json").write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n")
    for name in PICTURES:
        print(name, [r["text"] for r in golden["read"][name]])


if __name__ == "__main__":
    main()
