"""Statistics of images and predictions: by hand, of odd images, and equal under both releases of NumPy."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.files import json_bytes
from common.histogram import histogram, rounded
from common.image_statistics import EDGES, EMBEDDING_LENGTH, image_facts, summarise_images
from common.prediction_statistics import summarise_predictions

REPOSITORY = Path(__file__).parents[3]
SUMMARISE = """
import sys
import numpy as np
from PIL import Image
from common.files import json_bytes
from common.image_statistics import image_facts, summarise_images
pixels = np.load(sys.argv[1])
sys.stdout.buffer.write(json_bytes(summarise_images(image_facts(Image.fromarray(entry)) for entry in pixels)))
"""


def test_half_black_half_white_by_hand() -> None:
    pixels = np.zeros((8, 4, 3), np.uint8)
    pixels[:, 2:] = 255
    facts = image_facts(Image.fromarray(pixels))
    assert (facts.brightness, facts.contrast) == (127.5, 127.5)
    assert (facts.width, facts.height, facts.aspect) == (4, 8, 0.5)
    # rows of the grid alike; of its columns the first two black, the last two white
    assert facts.embedding.tolist() == ([0.0] * 6 + [1.0] * 6) * 4


def test_luma_weighs_the_channels() -> None:
    for colour, brightness in (((100, 0, 0), 29.9), ((0, 100, 0), 58.7), ((0, 0, 100), 11.4), ((9, 9, 9), 9)):
        facts = image_facts(Image.new("RGB", (5, 3), colour))
        assert facts.brightness == pytest.approx(brightness)
        assert facts.contrast == 0
        assert facts.embedding.tolist() == pytest.approx(np.tile(np.array(colour) / 255, 16).tolist())


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (5, 7), (1, 40)])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "CMYK", "P", "1"])
def test_any_size_and_mode(size: tuple[int, int], mode: str) -> None:
    facts = image_facts(Image.new("RGB", size, (40, 40, 40)).convert(mode))
    assert facts.embedding.shape == (EMBEDDING_LENGTH,)
    assert (facts.width, facts.height) == size
    assert np.isfinite(facts.embedding).all()


def test_contrast_against_numpy() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (33, 21, 3), np.uint8)
    luma = pixels @ np.array([0.299, 0.587, 0.114])
    facts = image_facts(Image.fromarray(pixels))
    assert (facts.brightness, facts.contrast) == pytest.approx((luma.mean(), luma.std()))
    assert facts.embedding[:3] == pytest.approx(pixels[:9, :6].mean(axis=(0, 1)) / 255)


def test_summary_of_several_images() -> None:
    generator = np.random.default_rng(2)
    images = [Image.fromarray(generator.integers(0, 256, (12, 16, 3), np.uint8)) for _ in range(9)]
    facts = [image_facts(image) for image in images]
    summary = summarise_images(facts)
    vectors = np.stack([entry.embedding for entry in facts])
    np.testing.assert_allclose(summary["embedding"]["covariance"], np.cov(vectors.T), atol=1e-6)
    np.testing.assert_allclose(summary["embedding"]["mean"], vectors.mean(axis=0), atol=1e-6)
    assert summary["embedding"]["name"] == "mean-rgb-4x4"
    assert set(summary["images"]) == set(EDGES) == {"brightness", "contrast", "width", "height", "aspect"}
    for block in summary["images"].values():
        assert sum(block["counts"]) == 9
        assert len(block["edges"]) == len(block["counts"]) + 1
    # 16 pixels are in the second bin, which begins at 16; 12 in the first
    assert summary["images"]["width"]["counts"][:2] == [0, 9]
    assert summary["images"]["height"]["counts"][:2] == [9, 0]


def test_one_image_has_no_covariance() -> None:
    summary = summarise_images([image_facts(Image.new("RGB", (4, 4), (1, 2, 3)))])
    assert np.array(summary["embedding"]["covariance"]).tolist() == np.zeros((48, 48)).tolist()
    json_bytes(summary)


def test_histogram_by_hand() -> None:
    found = histogram([-5, 0, 0.9, 1, 2.5, 3, 99], (0, 1, 2, 3))
    assert found["counts"] == [3, 1, 3]
    assert found["mean"] == pytest.approx(101.4 / 7, abs=1e-6)
    assert histogram([2, 4], (0, 1))["std"] == 1.0
    assert str(rounded(-1e-9)) == "0.0"
    with pytest.raises(ValueError, match="at least one value"):
        histogram([], (0, 1))


def test_predictions_by_hand() -> None:
    called = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [1, 0, 0]], bool)
    found = summarise_predictions(called, np.array([0.5, 0.99, 1.0, 0.32]))
    assert (found["counts"], found["shares"]) == ([3, 1, 0], [0.75, 0.25, 0.0])
    counts = found["confidence"]["counts"]
    assert (len(counts), counts[6], counts[10], counts[19]) == (20, 1, 1, 2)


def test_equal_under_both_releases_of_numpy(tmp_path: Path) -> None:
    other = Path(os.environ.get("IMGPIPE_MXNET_PYTHON") or REPOSITORY / ".venv-mxnet" / "bin" / "python")
    if not other.is_file():
        pytest.skip("needs the environment with MXNet: run make setup or set IMGPIPE_MXNET_PYTHON")
    path = tmp_path / "pixels.npy"
    np.save(path, np.random.default_rng(3).integers(0, 256, (40, 37, 29, 3), np.uint8))
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "processing")}
    written = [
        subprocess.run([python, "-c", SUMMARISE, str(path)], capture_output=True, env=environment, check=True).stdout
        for python in (sys.executable, str(other))
    ]
    assert written[0] == written[1]
    assert sum(json.loads(written[0])["images"]["brightness"]["counts"]) == 40
