"""Runs in MXNet's environment: reads a .rec file with ImageRecordIter and saves pixels (n, H, W, 3) and labels."""

import sys

import mxnet as mx
import numpy as np


def main(records: str, side: int, batch_size: int, output: str) -> None:
    """Keep what the iterator gives, without the records with which it fills up the last batch."""
    pixels, labels = [], []
    iterator = mx.io.ImageRecordIter(
        path_imgrec=records, data_shape=(3, side, side), batch_size=batch_size, shuffle=False, preprocess_threads=2
    )
    for batch in iterator:
        kept = batch_size - batch.pad
        pixels.append(batch.data[0].asnumpy()[:kept])
        labels.append(batch.label[0].asnumpy()[:kept])
    images = np.concatenate(pixels).transpose(0, 2, 3, 1)
    np.savez(output, pixels=images.round().astype(np.uint8), labels=np.concatenate(labels))


main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
