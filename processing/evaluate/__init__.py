"""Scores a trained model on the test records: python -m evaluate."""

from common.openmp import use_available_cores

# Before anything imports mxnet: a package is imported before its modules.
use_available_cores()
