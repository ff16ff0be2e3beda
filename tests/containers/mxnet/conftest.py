"""Settings that have to be there before a test imports mxnet."""

import os

# MXNet reads both once, at import, and stays on one core without the first.
os.environ.setdefault("OMP_NUM_THREADS", "2")
# As in the trainer: equal runs are equal.
os.environ.setdefault("MXNET_ENGINE_TYPE", "NaiveEngine")
