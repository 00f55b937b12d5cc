"""The contract's messages out of what a caller gave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from imajin_client.errors import InvalidArgument, Violation

P = ParamSpec("P")
MessageT = TypeVar("MessageT")


def filled(kind: Callable[P, MessageT], *args: P.args, **fields: P.kwargs) -> MessageT:
    """A message of `kind` with `fields`. Raises InvalidArgument that names the field which can't hold what was given."""
    try:
        return kind(*args, **fields)
    except (TypeError, ValueError):
        for name, given in fields.items():
            one: dict[str, Any] = {name: given}
            try:
                kind(*args, **one)
            except (TypeError, ValueError) as error:
                problem = str(error)
                raise InvalidArgument(f"{name}: {problem}", violations=[Violation(name, problem)]) from error
        raise
