"""Measurements of imgpipe against its peers, on this machine and in one run."""
