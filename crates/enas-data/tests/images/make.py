"""Writes the images of this folder, with encoders that are not the ones under test (Pillow and OpenCV).

All show the same: 32 x 16 pixels in four flat quarters, red and green above, blue and white below, or their
grey values. Animations have a second, black frame that must not be seen.
"""

import cv2
import numpy as np
from PIL import Image

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
pixels = np.zeros((16, 32, 3), np.uint8)
pixels[:8, :16], pixels[:8, 16:], pixels[8:, :16], pixels[8:, 16:] = RED, GREEN, BLUE, WHITE
base = Image.fromarray(pixels)
grey = base.convert("L")
black = Image.new("RGB", base.size)

base.save("colour.png")
base.save("colour.bmp")
base.save("colour.gif")
base.save("colour.jpg", quality=95, subsampling=0)
base.save("colour.webp", lossless=True)
base.save("lossy.webp", quality=95)
base.save("colour.tif", compression="tiff_lzw")
base.save("progressive.jpg", quality=95, subsampling=0, progressive=True)
base.quantize(4).save("palette.png")
base.quantize(4).save("palette.bmp")
base.convert("CMYK").save("cmyk.jpg", quality=95, subsampling=0)
base.save("animated.gif", save_all=True, append_images=[black], duration=100)
base.save("animated.webp", save_all=True, append_images=[black], duration=100, lossless=True)
cv2.imwrite("colour16.png", pixels[:, :, ::-1].astype(np.uint16) * 257)
cv2.imwrite("colour16.tiff", pixels[:, :, ::-1].astype(np.uint16) * 257)

# Kinds of TIFF beside the plain ones: a palette, floating-point samples up to 1 and up to 255, whole numbers of 32 bits.
levels = np.asarray(grey)
base.quantize(4).save("palette.tif")
base.quantize(4).save("palette-lzw.tif", compression="tiff_lzw")
Image.fromarray(levels.astype(np.float32) / 255).save("float.tif")
Image.fromarray(levels.astype(np.float32)).save("float255.tif")
Image.fromarray(levels.astype(np.int32)).save("integer32.tif")
# 12 bits in 16.
for name in ("grey12.png", "grey12.tif"):
    Image.fromarray(np.round(levels * (4095 / 255)).astype(np.uint16)).save(name)

grey.save("grey.png")
grey.save("grey.jpg", quality=95)
cv2.imwrite("grey16.png", np.asarray(grey).astype(np.uint16) * 257)

# White is given as transparent black: only laying the image over white shows it.
hole = np.dstack([pixels, np.full((16, 32), 255, np.uint8)])
hole[8:, 16:] = 0
transparent = Image.fromarray(hole)
transparent.save("transparent.png")
transparent.save("transparent.webp", lossless=True)
transparent.convert("LA").save("transparent-grey.png")
indexed = base.quantize(4)
white_index = indexed.getpixel((31, 15))
indexed.save("transparent-palette.png", transparency=white_index)

# Stored turned or mirrored, with the EXIF note that says how to put it right.
UNDO = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
for orientation, stored_as in UNDO.items():
    stored = base if stored_as is None else base.transpose(stored_as)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(f"exif-{orientation}.jpg", quality=95, subsampling=0, exif=exif)
