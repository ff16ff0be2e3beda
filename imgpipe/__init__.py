"""The command line of imgpipe."""

__version__ = "0.1.0"
