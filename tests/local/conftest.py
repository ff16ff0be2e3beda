"""Fixtures of the end-to-end tests; they lie in a module of a name of its own, so that tests can import from it."""

from end_to_end import *  # noqa: F403
