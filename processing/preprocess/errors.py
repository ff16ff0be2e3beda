"""What reading an image can end in besides its pixels."""

from __future__ import annotations


class UnreadableImage(Exception):
    """An image that cannot be used; the message is the reason for rejected.csv."""
