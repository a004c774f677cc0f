"""Why servers were not started, each in one sentence that says what to do."""

from engine.kernel.errors import Misconfigured


class CannotStart(Misconfigured):
    """A port, a directory or a server is not as it must be."""


class Missing(CannotStart):
    """Something that must be installed or started is not there (exit code 3)."""
