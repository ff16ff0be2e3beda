"""Settings that have to be there before a test imports mxnet."""

import os

# MXNet reads it once, at import, and stays on one core without it.
os.environ.setdefault("OMP_NUM_THREADS", "2")
