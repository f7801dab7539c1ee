"""Writes opencv.txt: what OpenCV makes of one small picture. Made with opencv-python-headless 4.8.1.

Each line is a name and the pixels of the result, row by row.
"""

import cv2
import numpy as np

SOURCE = (np.arange(64).reshape(8, 8) * 37 % 256).astype(np.uint8)


def warped(degrees, scale):
    return cv2.warpAffine(SOURCE, cv2.getRotationMatrix2D((4, 4), degrees, scale), (8, 8))


RESULTS = {
    "warp 0 1.2": warped(0, 1.2),
    "warp 17 1": warped(17, 1.0),
    "warp -20 1": warped(-20, 1.0),
    "resize 11 11": cv2.resize(SOURCE, (11, 11)),
    "resize 5 5": cv2.resize(SOURCE, (5, 5)),
    "resize 3 13": cv2.resize(SOURCE, (13, 3)),
    "resize 32 32": cv2.resize(SOURCE, (32, 32)),
}

with open("opencv.txt", "w", encoding="ascii") as out:
    for name, pixels in RESULTS.items():
        print(f"{name}:", *pixels.ravel(), file=out)
