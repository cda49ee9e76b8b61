"""What an export refuses."""


class ExportError(ValueError):
    """A model that cannot be exported as asked; names the model or the file, why, and what to do instead."""
