"""JSON, query parameters and form fields -> messages. Everything that is wrong is collected, and said by field."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor as F
from google.protobuf.message import Message

from imajin_gateway import dialect
from imajin_gateway.errors import Violation, invalid, malformed
from imajin_gateway.scalars import Wrong, named, scalar

SIZE_TEXT = re.compile(r"([0-9]{1,5})[xX×]([0-9]{1,5})")


def decode(body: bytes) -> dict[str, Any]:
    """A JSON object. Raises ApiError for anything else: bad UTF-8, duplicate keys, NaN, endless nesting, another type."""
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=unique, parse_constant=no_constant)
    except UnicodeDecodeError as error:
        raise malformed(f"the body is not UTF-8: byte {error.start} can't be decoded") from None
    except json.JSONDecodeError as error:
        raise malformed(f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise malformed("the body is nested too deeply") from None
    except ValueError:
        # Python refuses to read integers of thousands of digits.
        raise malformed("the body holds a number that is too long") from None
    if not isinstance(value, dict):
        raise malformed(f"the body must be a JSON object, not {named(value)}")
    return value


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of `pairs`; a key that comes twice is refused, for it can't be known which one is meant."""
    result = dict(pairs)
    if len(result) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in result if keys.count(key) > 1)
        raise malformed(f"the key {twice[:100]!r} comes twice in one object")
    return result


def no_constant(name: str) -> NoReturn:
    """Python's JSON takes NaN and Infinity, which are no JSON."""
    raise malformed(f"{name} is no JSON number")


def parse(value: Mapping[str, Any], message: Message) -> None:
    """Fills `message` from a decoded JSON object. Raises ApiError with every violation."""
    problems: list[Violation] = []
    fill(value, message, "", problems)
    if problems:
        raise invalid(*problems)


def parse_text(pairs: Sequence[tuple[str, str]], message: Message) -> None:
    """Fills `message` from query parameters or form fields.

    A name may be a dotted path (`focalPoint.x`), a list repeats its name or separates values by commas (not for text, where a
    comma may be meant), and a message is JSON.
    """
    tree: dict[str, Any] = {}
    problems: list[Violation] = []
    for name, text in pairs:
        try:
            plant(tree, name.split("."), message.DESCRIPTOR, text)
        except Wrong as error:
            problems.append(Violation(name[:200], str(error)))
    fill(tree, message, "", problems)
    if problems:
        raise invalid(*problems)


def plant(tree: dict[str, Any], path: list[str], descriptor: Any, text: str) -> None:
    """Puts `text` at `path` into a tree as JSON would have it."""
    name, *rest = path
    field = dialect.by_name(descriptor).get(name)
    if rest and field is not None and field.type == F.TYPE_MESSAGE and not field.is_repeated:
        branch = tree.setdefault(name, {})
        if not isinstance(branch, dict):
            raise Wrong("is given twice")
        plant(branch, rest, field.message_type, text)
    elif rest:
        raise Wrong(unknown(name, descriptor) if field is None else f"{name} has no fields")
    elif field is not None and field.is_repeated and not dialect.is_map(field):
        values = structured(text) if text.lstrip().startswith("[") else None
        if values is None:
            values = [text] if field.type == F.TYPE_STRING else [item.strip() for item in text.split(",")]
        tree.setdefault(name, []).extend(values)
    elif name in tree:
        raise Wrong("is given twice")
    else:
        is_object = field is not None and field.type == F.TYPE_MESSAGE and text.lstrip().startswith("{")
        tree[name] = structured(text) if is_object else text


def structured(text: str) -> Any:
    """JSON inside of a parameter."""
    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=no_constant)
    except (ValueError, RecursionError):
        raise Wrong("must be JSON") from None


def fill(value: Mapping[str, Any], message: Message, path: str, problems: list[Violation]) -> None:
    """Fills one message; `path` says where it stands."""
    fields = dialect.by_name(message.DESCRIPTOR)
    seen: set[str] = set()
    for name, item in value.items():
        where = f"{path}.{name}" if path else name
        field = fields.get(name)
        if field is None:
            problems.append(Violation(where[:200], unknown(name, message.DESCRIPTOR)))
            continue
        if item is None:
            continue
        oneof = field.containing_oneof
        group = oneof.name if oneof is not None else field.name
        if group in seen:
            problems.append(
                Violation(where, "is given twice" if oneof is None else f"only one of {group} may be given")
            )
            continue
        seen.add(group)
        put(item, message, field, where, problems)


def unknown(name: str, descriptor: Any) -> str:
    """What to say about a field that does not exist."""
    near = difflib.get_close_matches(name[:100], [field.json_name for field in descriptor.fields], 1)
    return f"no such field; did you mean {near[0]}?" if near else "no such field"


def put(item: Any, message: Message, field: F, where: str, problems: list[Violation]) -> None:
    """Sets one field, whatever its kind."""
    try:
        if dialect.is_map(field):
            put_map(item, message, field, where, problems)
        elif field.is_repeated:
            put_list(item, message, field, where, problems)
        elif field.type == F.TYPE_MESSAGE:
            inner = getattr(message, field.name)
            inner.SetInParent()
            put_message(item, inner, where, problems)
        else:
            setattr(message, field.name, scalar(item, field))
    except Wrong as error:
        problems.append(Violation(where, str(error)))


def put_list(item: Any, message: Message, field: F, where: str, problems: list[Violation]) -> None:
    """Sets a repeated field."""
    if not isinstance(item, list):
        raise Wrong(f"must be a list, not {named(item)}")
    target = getattr(message, field.name)
    for index, element in enumerate(item):
        place = f"{where}[{index}]"
        try:
            if field.type == F.TYPE_MESSAGE:
                put_message(element, target.add(), place, problems)
            else:
                target.append(scalar(element, field))
        except Wrong as error:
            problems.append(Violation(place, str(error)))


def put_map(item: Any, message: Message, field: F, where: str, problems: list[Violation]) -> None:
    """Sets a map."""
    if not isinstance(item, dict):
        raise Wrong(f"must be an object, not {named(item)}")
    target = getattr(message, field.name)
    key_field, value_field = dialect.map_fields(field)
    for name, element in item.items():
        place = f"{where}[{name[:100]!r}]"
        try:
            key = scalar(name, key_field)
            if value_field.type == F.TYPE_MESSAGE:
                put_message(element, target[key], place, problems)
            else:
                target[key] = scalar(element, value_field)
        except Wrong as error:
            problems.append(Violation(place, str(error)))


def put_message(item: Any, message: Message, where: str, problems: list[Violation]) -> None:
    """Fills a message, or a well-known one by protobuf's own rules."""
    name = message.DESCRIPTOR.full_name
    if name.startswith(dialect.WELL_KNOWN):
        try:
            json_format.ParseDict(item, message)
        except (json_format.ParseError, ValueError, TypeError, AttributeError):
            raise Wrong(f"must be a {name.removeprefix(dialect.WELL_KNOWN).lower()}") from None
    elif name == dialect.SIZE and isinstance(item, str):
        match = SIZE_TEXT.fullmatch(item)
        if not match:
            raise Wrong("must be a size such as 1200x630")
        fill({"width": int(match[1]), "height": int(match[2])}, message, where, problems)
    elif isinstance(item, dict):
        fill(item, message, where, problems)
    else:
        raise Wrong(f"must be an object, not {named(item)}")
