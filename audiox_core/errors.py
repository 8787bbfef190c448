"""The one error type that a user of the library is meant to read."""


class AudioXError(ValueError):
    """Input that cannot work: says what was given, what is expected and what to do."""
