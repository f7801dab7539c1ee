"""Checks that the script of `enas export --python` answers as `enas predict` does.

usage: predict_check.py ENAS FOLDER...

Each folder holds a model.safetensors and the model.onnx exported from it.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

LINES = Path(__file__).parents[2] / "crates/enas-export/src/predict.py"
# Rounding of grey values and of resizing differs by a level of 255 here and there.
TOLERANCE = 0.02


def images(folder):
    """Images of all the kinds that are read in a way of their own: proportions, transparency, depth, rotation."""
    noise = np.random.default_rng(1)
    coarse = noise.integers(0, 255, (6, 8, 3), np.uint8)
    plain = Image.fromarray(coarse).resize((80, 60), Image.Resampling.BICUBIC)
    made = {"plain.png": plain, "wide.png": plain.resize((120, 30)), "tall.png": plain.resize((25, 90))}
    made["tiny.png"] = plain.resize((7, 5))
    alpha = plain.convert("RGBA")
    alpha.putalpha(Image.fromarray(noise.integers(0, 255, (60, 80), np.uint8)))
    made["alpha.png"] = alpha
    made["grey_alpha.png"] = alpha.convert("LA")
    made["palette.png"] = plain.quantize(16)
    grey = np.asarray(plain.convert("L"), np.uint16)
    made["deep.png"] = Image.fromarray((grey * 256 + 77).astype(np.uint16))
    made["twelve_bits.png"] = Image.fromarray((grey * 16 + 5).astype(np.uint16))
    made["sixteen_bits.tif"] = Image.fromarray((grey * 200 + 1234).astype(np.uint16))
    # No sample is above 1: without a level of their own, such images are read alike by both.
    made["floats.tif"] = Image.fromarray((grey / 300).astype(np.float32))
    for name, image in made.items():
        image.save(folder / name)
    exif = Image.Exif()
    exif[0x0112] = 6
    plain.save(folder / "turned.jpg", exif=exif, quality=95)
    return sorted(folder.iterdir())


def ours(enas, folder, paths):
    """Labels and probabilities of the program."""
    command = [enas, "predict", "--model", folder / "model.safetensors", "--json", *paths]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [(line["label"], line["probability"]) for line in map(json.loads, lines)]


def theirs(folder, paths):
    """Labels and probabilities of the Python lines."""
    command = [sys.executable, LINES, folder / "model.onnx", *paths]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [(label, float(probability)) for label, probability, _ in (line.split(" ", 2) for line in lines)]


def main(enas, folders):
    """Fails at the first image that is answered otherwise."""
    with tempfile.TemporaryDirectory() as scratch:
        paths = images(Path(scratch))
        for folder in map(Path, folders):
            for path, a, b in zip(paths, ours(enas, folder, paths), theirs(folder, paths), strict=True):
                near = abs(a[1] - b[1]) < TOLERANCE
                assert near and (a[0] == b[0] or a[1] < 0.5), f"{folder.name}, {path.name}: {a} and {b}"
            print(f"{folder.name}: Python answers as enas predict on {len(paths)} images")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:])
