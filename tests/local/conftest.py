"""Fixtures of the end-to-end tests; they lie in modules of names of their own, so that tests can import from them."""

from end_to_end import *  # noqa: F403
from served_model import *  # noqa: F403
