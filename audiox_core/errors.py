"""The one error type that a user of the library is meant to read."""


class AudioXError(ValueError):
    """Input that cannot work: says what was given, what is expected and what to do."""


class MissingComponent(AudioXError):
    """A file that belongs to a model is missing. option: the command line's option for it, None if it has none."""

    def __init__(self, message: str, option: str | None = None) -> None:
        super().__init__(message)
        self.option = option
