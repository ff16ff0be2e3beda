"""Weights of the classes in the loss of images with several labels."""

from typing import NamedTuple

import numpy as np

# One rare image must not outweigh everything else in its batch.
HEAVIEST = 10.0


class ClassWeights(NamedTuple):
    """Factors (num_classes) of the loss where an image shows the class, and where it does not."""

    positive: np.ndarray
    negative: np.ndarray


def balanced(images_per_class: np.ndarray, images: int) -> ClassWeights:
    """Weights with which the images that show a class count as much, in sum, as those that do not.

    N / (2 n) for the n of N images that show it, N / (2 (N - n)) for the others, at most HEAVIEST, and 1 where a class
    is on no image or on all of them. Source: King and Zeng, "Logistic Regression in Rare Events Data" (2001).
    """
    shares = np.asarray(images_per_class) / images
    both = (shares > 0) & (shares < 1)
    positive, negative = (
        np.where(both, np.minimum(0.5 / np.where(both, share, 1.0), HEAVIEST), 1.0) for share in (shares, 1 - shares)
    )
    return ClassWeights(positive.astype(np.float32), negative.astype(np.float32))
