"""What the contract says in words and in limits: comments, and protovalidate's rules as JSON Schema has them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from imajin_gateway.contract import descriptor_set

KEYWORDS = {
    "min_len": "minLength",
    "max_len": "maxLength",
    "pattern": "pattern",
    "gte": "minimum",
    "lte": "maximum",
    "gt": "exclusiveMinimum",
    "lt": "exclusiveMaximum",
    "min_items": "minItems",
    "max_items": "maxItems",
    "unique": "uniqueItems",
}
"""Rules of protovalidate that JSON Schema has a keyword for."""
NUMBERED = {"message": 4, "enum": 5, "service": 6, "field": 2, "nested": 3, "value": 2, "method": 2}
"""Field numbers in descriptor.proto, of which the paths of comments are made."""
REQUIRED = 2
"""google.api.FieldBehavior.REQUIRED"""

Path = tuple[int, ...]


@cache
def comments() -> dict[str, str]:
    """Comments by the full name of what they are about."""
    found: dict[str, str] = {}
    for file in descriptor_set().file:
        texts = {tuple(item.path): tidy(item.leading_comments) for item in file.source_code_info.location}
        for path, name in named(file):
            if text := texts.get(path):
                found[name] = text
    return found


def tidy(comment: str) -> str:
    """A comment without directives to linters."""
    lines = [
        line.removeprefix(" ").rstrip() for line in comment.splitlines() if not line.lstrip().startswith("buf:lint:")
    ]
    return "\n".join(lines).strip()


def named(file: descriptor_pb2.FileDescriptorProto) -> Iterator[tuple[Path, str]]:
    """Path and full name of everything in a file."""
    for index, service in enumerate(file.service):
        path, name = (NUMBERED["service"], index), f"{file.package}.{service.name}"
        yield path, name
        for number, method in enumerate(service.method):
            yield (*path, NUMBERED["method"], number), f"{name}.{method.name}"
    for index, enum in enumerate(file.enum_type):
        yield from named_enum(enum, (NUMBERED["enum"], index), file.package)
    for index, message in enumerate(file.message_type):
        yield from named_message(message, (NUMBERED["message"], index), file.package)


def named_enum(enum: descriptor_pb2.EnumDescriptorProto, path: Path, scope: str) -> Iterator[tuple[Path, str]]:
    """Path and full name of an enum and of its values."""
    yield path, f"{scope}.{enum.name}"
    for number, value in enumerate(enum.value):
        yield (*path, NUMBERED["value"], number), f"{scope}.{enum.name}.{value.name}"


def named_message(message: descriptor_pb2.DescriptorProto, path: Path, scope: str) -> Iterator[tuple[Path, str]]:
    """Path and full name of a message and of all that is in it."""
    name = f"{scope}.{message.name}"
    yield path, name
    for number, field in enumerate(message.field):
        yield (*path, NUMBERED["field"], number), f"{name}.{field.name}"
    for number, nested in enumerate(message.nested_type):
        yield from named_message(nested, (*path, NUMBERED["nested"], number), name)


@cache
def options() -> dict[str, Any]:
    """Options of fields by full name, read in a pool of their own: only there `buf.validate` is known."""
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_set().file:
        pool.AddSerializedFile(file.SerializeToString())
    message_factory.GetMessageClassesForFiles([file.name for file in descriptor_set().file], pool)
    read = message_factory.GetMessageClass(pool.FindMessageTypeByName("google.protobuf.FieldOptions"))
    return {
        f"{file.package}.{message.name}.{field.name}": read.FromString(field.options.SerializeToString())
        for file in descriptor_set().file
        for message in file.message_type
        for field in message.field
    }


def extension(full_name: str, extension_name: str) -> Any:
    """The value of an extension in the options of a field; None where it has none."""
    found = options().get(full_name)
    if found is None:
        return None
    return next((value for key, value in found.ListFields() if key.full_name == extension_name), None)


def is_required(full_name: str) -> bool:
    """Whether a field must be set."""
    rules = extension(full_name, "buf.validate.field")
    return REQUIRED in (extension(full_name, "google.api.field_behavior") or ()) or bool(rules and rules.required)


def limits(full_name: str) -> dict[str, Any]:
    """What JSON Schema can say about the values of a field; `items` holds what it can say about those of a list."""
    rules = extension(full_name, "buf.validate.field")
    return keywords(rules) if rules is not None else {}


def keywords(rules: Any) -> dict[str, Any]:
    """One set of rules as JSON Schema."""
    kind = rules.WhichOneof("type")
    # Bytes have limits of their own over gRPC; by REST an image may be as large as the body.
    if kind in (None, "bytes", "duration", "timestamp"):
        return {}
    inner = getattr(rules, kind)
    schema: dict[str, Any] = {}
    for field, value in inner.ListFields():
        if field.name in KEYWORDS:
            schema[KEYWORDS[field.name]] = round(value, 6) if isinstance(value, float) else value
        elif field.name == "items" and (items := keywords(value)):
            schema["items"] = items
        elif kind == "enum" and field.name == "in":
            schema["numbers"] = list(value)
    return schema
