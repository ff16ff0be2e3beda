"""Compares what an endpoint was asked with what its model was tested on: python -m monitor."""
