"""The OpenAPI file."""


def openapi() -> dict[str, object]:
    """The document."""
    return {}
