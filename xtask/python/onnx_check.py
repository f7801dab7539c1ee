"""Checks exported files with the ONNX project's own checker and with ONNX Runtime.

usage: onnx_check.py FOLDER...

Each folder holds what `enas export --out FOLDER/model.onnx --samples FOLDER` wrote.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

# For logits of up to 10; larger ones round to fewer digits after the point.
TOLERANCE = 1e-4
BATCHES = (1, 7, 64)


def check(folder):
    """Fails if the file is not valid ONNX, or computes other numbers than the program that wrote it."""
    path = folder / "model.onnx"
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    pictures, logits = np.load(folder / "pictures.npy"), np.load(folder / "logits.npy")
    about = session.get_modelmeta().custom_metadata_map
    check_description(session, about, pictures, logits)

    largest, done = 0.0, 0
    while done < len(pictures):
        for batch in BATCHES:
            part = slice(done, done + batch)
            if len(pictures[part]) == 0:
                break
            ours, probabilities = session.run(["logits", "probabilities"], {"pictures": pictures[part]})
            largest = max(largest, float(np.abs(ours - logits[part]).max()))
            expected = softmax(logits[part] / float(about["temperature"]))
            assert np.allclose(probabilities, expected, atol=TOLERANCE), f"{path}: probabilities"
            done += len(ours)
    allowed = TOLERANCE * max(1.0, float(np.abs(logits).max()) / 10)
    assert largest <= allowed, f"{path}: logits differ by {largest}, allowed are {allowed}"
    print(
        f"{folder.name}: ONNX Runtime {onnxruntime.__version__} differs by {largest:.1e} "
        f"on {done} images of {'x'.join(map(str, pictures.shape[1:]))}"
    )


def check_description(session, about, pictures, logits):
    """Shapes and metadata must say what the numbers are."""
    (given,) = session.get_inputs()
    assert (given.name, given.type) == ("pictures", "tensor(float)"), given
    assert given.shape == ["batch", *pictures.shape[1:]], given.shape
    for output in session.get_outputs():
        assert output.shape == ["batch", logits.shape[1]], output
    assert [output.name for output in session.get_outputs()] == ["logits", "probabilities"]
    assert 0.0 <= pictures.min() and pictures.max() <= 1.0
    channels = pictures.shape[1]
    assert len(json.loads(about["classes"])) == logits.shape[1]
    assert len(json.loads(about["normalization"])["mean"]) == channels
    assert about["channel_order"] == ("RGB" if channels == 3 else "grey")
    for key in ("arc", "background", "enas_version", "resize", "resize_filter", "temperature", "test_accuracy", "valid_accuracy", "value_range"):
        assert about[key], key


def softmax(logits):
    """Rows that sum to 1."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    for folder in sys.argv[1:]:
        check(Path(folder))
