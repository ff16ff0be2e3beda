"""The error that a person at the command line can act on."""


class InfraError(Exception):
    """One line naming the thing, what is allowed, and the way out."""
