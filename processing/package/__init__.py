"""Turns a trained model into the one that is served, and gathers what its version needs: python -m package."""

from common.openmp import use_available_cores

# Before anything imports mxnet: a package is imported before its modules.
use_available_cores()
