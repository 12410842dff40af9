"""Writes jpeg.npz and the JPEG files beside it: one image in each form of
chroma, and what Pillow decodes.

Run with Pillow 12, NumPy 2.4 and libjpeg-turbo's jpegtran: python jpeg.py
Nobody needs this to build or test; it says where the numbers come from.
"""
import os
import subprocess

import numpy as np
from PIL import Image

here = os.path.dirname(os.path.abspath(__file__))
rng = np.random.default_rng(11)
H, W = 37, 45
yy, xx = np.mgrid[0:H, 0:W]
src = np.stack([
    127 + 90 * np.sin(xx / 5.1) * np.cos(yy / 6.7) + rng.integers(-20, 20, (H, W)),
    xx * 255 / (W - 1),
    (yy * 255 / (H - 1)) * ((xx // 9) % 2),
], axis=-1).clip(0, 255).astype(np.uint8)
im = Image.fromarray(src, "RGB")
for form in ("444", "422", "420"):
    im.save(os.path.join(here, f"chroma_{form}.jpg"), quality=90, subsampling=":".join(form))
im.convert("L").save(os.path.join(here, "chroma_gray.jpg"), quality=90)
im.crop((0, 0, 3, 5)).save(os.path.join(here, "chroma_narrow.jpg"), quality=90, subsampling="4:2:0")
# Half the resolution down the columns only: the 4:2:2 file turned on its side.
side = subprocess.run(["jpegtran", "-transpose", os.path.join(here, "chroma_422.jpg")], capture_output=True, check=True).stdout
with open(os.path.join(here, "chroma_440.jpg"), "wb") as f:
    f.write(side)
out = {}
for form in ("444", "422", "420", "440", "gray", "narrow"):
    out[form] = np.asarray(Image.open(os.path.join(here, f"chroma_{form}.jpg")).convert("RGB"))
np.savez_compressed(os.path.join(here, "jpeg.npz"), **out)
