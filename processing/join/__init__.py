"""Joins the answers of a batch transform job with the keys of the images."""
