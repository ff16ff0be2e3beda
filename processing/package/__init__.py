"""Turns a trained model into the one that is served, and gathers what its version needs: python -m package."""

import os

# MXNet reads it once, at import, and without it works on one core. A package is imported before its modules.
os.environ.setdefault("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0))))
