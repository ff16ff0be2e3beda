"""One image at a time with MXNet's Module at its defaults: ``python module_predict.py SETTINGS`` (JSON).

Settings: prefix and epoch of the artifact's files, side and short_side in pixels, image (a file), runs. Prints JSON:
seconds of every run, of the network alone and from the file's bytes on, read as MXNet's own tutorials read an image.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import mxnet as mx  # type: ignore[import-not-found]
import numpy as np

WARM_UP_RUNS = 5


def main(settings: dict[str, Any]) -> None:
    """Bind for one image, warm up, measure."""
    symbol, arguments, auxiliary = mx.model.load_checkpoint(settings["prefix"], settings["epoch"])
    side = settings["side"]
    module = mx.mod.Module(symbol, data_names=("data",), label_names=None)
    module.bind(data_shapes=[("data", (1, 3, side, side))], for_training=False)
    module.set_params(arguments, auxiliary, allow_missing=True)
    data = Path(settings["image"]).read_bytes()
    seconds: dict[str, list[float]] = {"network": [], "image": []}
    for run in range(WARM_UP_RUNS + settings["runs"]):
        start = time.perf_counter()
        tensor = _tensor(data, side=side, short_side=settings["short_side"])
        tensor.wait_to_read()
        read = time.perf_counter()
        module.forward(mx.io.DataBatch([tensor]), is_train=False)
        probabilities = module.get_outputs()[0].asnumpy()
        end = time.perf_counter()
        assert np.isfinite(probabilities).all()
        if run >= WARM_UP_RUNS:
            seconds["network"].append(end - read)
            seconds["image"].append(end - start)
    print(json.dumps(seconds))


def _tensor(data: bytes, *, side: int, short_side: int) -> Any:
    image = mx.image.resize_short(mx.image.imdecode(data), short_side)
    image, _ = mx.image.center_crop(image, (side, side))
    return image.astype("float32").transpose((2, 0, 1)).expand_dims(0)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
