"""MXNet's own training loop at its defaults, in MXNet's environment: ``python module_fit.py SETTINGS`` (JSON).

Network and ranges of the augmentation come from the trainer, so that both do the same work; PYTHONPATH leads there.
Settings: records, index, num_layers, num_classes, side, batch_size, epochs, augmentation (a name that the trainer
knows), padding (pixels), and optimizer_params of sgd.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import mxnet as mx  # type: ignore[import-not-found]

from train.iterators import AUGMENTATIONS, FILL  # type: ignore[import-not-found]
from train.networks import resnet  # type: ignore[import-not-found]


def main(settings: dict[str, Any]) -> None:
    """Train; MXNet logs each epoch's ``Time cost``."""
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
    shape = (3, settings["side"], settings["side"])
    batches = mx.io.ImageRecordIter(
        path_imgrec=settings["records"],
        path_imgidx=settings["index"],
        data_shape=shape,
        batch_size=settings["batch_size"],
        shuffle=True,
        fill_value=FILL,
        pad=settings["padding"],
        **AUGMENTATIONS[settings["augmentation"]],
    )
    network = resnet(num_layers=settings["num_layers"], num_classes=settings["num_classes"], image_shape=shape)
    module = mx.mod.Module(network, data_names=("data",), label_names=("softmax_label",))
    module.fit(batches, num_epoch=settings["epochs"], optimizer_params=settings["optimizer_params"])


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
