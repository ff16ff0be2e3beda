"""Packs class folders of images into RecordIO channels: python -m preprocess."""
