"""Writes pillow.npz and the PNG files beside it: what Pillow makes of one image.

Run with Pillow 12 and NumPy 2.4: python pillow.py
Nobody needs this to build or test; it says where the numbers come from.
"""
import os

import numpy as np
import PIL
from PIL import Image, ImageEnhance

here = os.path.dirname(os.path.abspath(__file__))
print("Pillow", PIL.__version__)
rng = np.random.default_rng(7)
H, W = 29, 23
# Smooth shapes with noise and hard edges, so that every filter has to clip.
yy, xx = np.mgrid[0:H, 0:W]
src = np.stack([
    127 + 120 * np.sin(xx / 3.1) * np.cos(yy / 4.7),
    (xx * 255 / (W - 1)) * ((yy // 5) % 2),
    rng.integers(0, 256, (H, W)),
], axis=-1).clip(0, 255).astype(np.uint8)
src[3:7, 2:9] = 255
src[20:25, 10:20] = 0
im = Image.fromarray(src, "RGB")
out = {"src": src}

filters = {"nearest": Image.NEAREST, "box": Image.BOX, "bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC, "lanczos": Image.LANCZOS}
sizes = [(29, 11), (13, 23), (7, 5), (1, 1), (31, 40), (58, 46), (12, 37), (64, 3)]
real = (src[:, :, 2].astype(np.float32) - 100) / np.float32(37)
out["real"] = real
for name, f in filters.items():
    for h, w in sizes:
        out[f"{name}_{h}x{w}"] = np.asarray(im.resize((w, h), f))
        out[f"real_{name}_{h}x{w}"] = np.asarray(Image.fromarray(real, "F").resize((w, h), f))

out["luma"] = np.asarray(im.convert("L"))
for f in (0.0, 0.35, 1.0, 1.8):
    out[f"brightness_{f}"] = np.asarray(ImageEnhance.Brightness(im).enhance(f))
    out[f"contrast_{f}"] = np.asarray(ImageEnhance.Contrast(im).enhance(f))
    out[f"saturation_{f}"] = np.asarray(ImageEnhance.Color(im).enhance(f))
# All corners of the colour cube and random colours, for hue.
g = np.array([0, 1, 2, 63, 64, 127, 128, 200, 254, 255], np.uint8)
cube = np.stack(np.meshgrid(g, g, g, indexing="ij"), -1).reshape(25, 40, 3)
cube = np.concatenate([cube, rng.integers(0, 256, (25, 40, 3)).astype(np.uint8)])
out["cube"] = cube
for f in (-0.5, -0.1, 0.0, 0.25, 0.5):
    h, s, v = Image.fromarray(cube, "RGB").convert("HSV").split()
    turned = (np.asarray(h).astype(np.int32) + int(f * 255)) % 256
    h = Image.fromarray(turned.astype(np.uint8), "L")
    out[f"hue_{f}"] = np.asarray(Image.merge("HSV", (h, s, v)).convert("RGB"))

# Decoding: every pixel form of PNG, read back as RGB.
alpha = rng.integers(0, 256, (H, W)).astype(np.uint8)
forms = {
    "rgb": im,
    "gray": im.convert("L"),
    "rgba": Image.merge("RGBA", (*im.split(), Image.fromarray(alpha, "L"))),
    "grayalpha": Image.merge("LA", (im.convert("L"), Image.fromarray(alpha, "L"))),
    "palette": im.quantize(16),
    "bilevel": im.convert("1"),
}
for name, m in forms.items():
    path = os.path.join(here, f"form_{name}.png")
    m.save(path)
    out[f"form_{name}"] = np.asarray(Image.open(path).convert("RGB"))

# Arrays as NumPy writes them, in both orders and several types.
base = (np.arange(24) - 7).reshape(2, 3, 4)
for t in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"):
    out[f"order_c_{t}"] = base.astype(t)
    out[f"order_f_{t}"] = np.asfortranarray(base.astype(t))
out["scalar"] = np.float32(1.5)
out["empty"] = np.zeros((0, 3), np.int64)
np.savez_compressed(os.path.join(here, "pillow.npz"), **out)
