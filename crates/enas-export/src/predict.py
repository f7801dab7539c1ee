import json, sys, numpy, onnxruntime
from PIL import Image, ImageOps

def pixels(path, channels, height, width, about):
    """An image as enas reads it: upright, 8 bits deep, over white, resized as in training. [channels, height, width]"""
    opened = Image.open(path)
    wide = opened.mode == "I" and opened.format == "TIFF"  # more than 16 bits
    image = ImageOps.exif_transpose(opened)
    if image.mode.startswith("I"):  # more than 8 bits, of which the training's images used as many as white needs
        white = wide and json.loads(about.get("wide_white_level", "null"))
        white = white or json.loads(about["white_level"]) or 65535
        samples = numpy.clip(numpy.asarray(image, numpy.int64), 0, white)
        image = Image.fromarray(((samples * 255 + white // 2) // white).astype(numpy.uint8))
    elif image.mode == "F":
        white = json.loads(about["float_white_level"]) or 1
        samples = numpy.clip(numpy.asarray(image) / numpy.float32(white), 0, 1) * numpy.float32(255)
        image = Image.fromarray(numpy.floor(samples + numpy.float32(0.5)).astype(numpy.uint8))
    image = image.convert("RGBA")
    image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("L" if channels == 1 else "RGB")

    def fit(inner, outer):  # the largest size with the proportions of `inner` in `outer`, both (height, width)
        (h, w), (H, W) = inner, outer
        part = lambda a, b, c: max(1, (2 * a * b + c) // (2 * c))
        return (min(H, part(W, h, w)), W) if H * w > W * h else (H, min(W, part(H, w, h)))

    size = (height, width)
    if about["resize"] == "crop":
        h, w = fit(size, image.size[::-1])
        left, top = (image.width - w) // 2, (image.height - h) // 2
        image = image.crop((left, top, left + w, top + h))
    h, w = fit(image.size[::-1], size) if about["resize"] == "pad" else size
    if about["resize_filter"] == "opencv":
        steps = (image.width / w, 0, 0, 0, image.height / h, 0)
        image = image.transform((w, h), Image.Transform.AFFINE, steps, Image.Resampling.BILINEAR)
    elif image.size != (w, h):
        image = image.resize((w, h), Image.Resampling.BILINEAR)
    values = numpy.zeros((height, width, channels), numpy.float32)  # bars beside the image are black
    top, left = (height - h) // 2, (width - w) // 2
    values[top:top + h, left:left + w] = numpy.asarray(image, numpy.float32).reshape(h, w, channels)
    return values.transpose(2, 0, 1)

session = onnxruntime.InferenceSession(sys.argv[1])
about = session.get_modelmeta().custom_metadata_map
_, channels, height, width = session.get_inputs()[0].shape
for path in sys.argv[2:]:
    batch = pixels(path, channels, height, width, about)[None] / 255
    [row] = session.run(["probabilities"], {"pictures": batch})[0]
    print(json.loads(about["classes"])[row.argmax()], row.max(), path)
