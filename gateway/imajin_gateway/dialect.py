"""Rules of the JSON dialect that reading and writing share: names of fields, enum values and special messages.

It is protobuf's JSON, made friendlier to people: enums are short and lower-case (`convert-webp`), safe 64-bit integers are numbers,
hashes are hexadecimal. See docs/decisions/rest-shim.md.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, EnumValueDescriptor, FieldDescriptor
from google.protobuf.message import Message

UNSPECIFIED = "_UNSPECIFIED"
SAFE_INTEGER = 2**53
WELL_KNOWN = "google.protobuf."
SIZE = "imajin.common.v1.Size"

F = FieldDescriptor
LONG = frozenset({F.TYPE_INT64, F.TYPE_UINT64, F.TYPE_SINT64, F.TYPE_FIXED64, F.TYPE_SFIXED64})
RANGES = {
    F.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    F.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    F.CPPTYPE_UINT32: (0, 2**32 - 1),
    F.CPPTYPE_UINT64: (0, 2**64 - 1),
}
"""Least and greatest value of each integer type."""


@cache
def by_name(message: Descriptor) -> dict[str, FieldDescriptor]:
    """Fields by every name that input may use: as in the contract, in camel case, and as JSON spells it."""
    names: dict[str, FieldDescriptor] = {}
    for field in message.fields:
        for name in (field.name, camel(field.name), field.json_name):
            names[name] = field
    return names


def camel(name: str) -> str:
    """`skip_processing` as `skipProcessing`. The descriptor's own camel case is the JSON name, where one was chosen."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


@cache
def prefix(enum: EnumDescriptor) -> str:
    """What all values of an enum begin with, such as `JOB_STATUS_`."""
    first: str = enum.values[0].name
    return first.removesuffix(UNSPECIFIED.removeprefix("_")) if first.endswith(UNSPECIFIED) else ""


@cache
def short(value: EnumValueDescriptor) -> str:
    """`OPERATION_CONVERT_WEBP` as `convert-webp`."""
    name: str = value.name
    return name.removeprefix(prefix(value.type)).lower().replace("_", "-")


@cache
def enum_values(enum: EnumDescriptor) -> dict[str, int]:
    """Numbers by every spelling, in lower case with hyphens: short, or with the prefix."""
    spelled = {value.name.lower().replace("_", "-"): value.number for value in enum.values}
    return {**spelled, **{short(value): value.number for value in enum.values}}


def fields_of(message: Message) -> list[FieldDescriptor]:
    """Fields of a message's type."""
    descriptor: Any = message.DESCRIPTOR
    return list(descriptor.fields)


def message_of(field: FieldDescriptor) -> Descriptor:
    """Type of a field that holds messages."""
    descriptor: Any = field.message_type
    return descriptor  # type: ignore[no-any-return]


def enum_of(field: FieldDescriptor) -> EnumDescriptor:
    """Type of a field that holds values of an enum."""
    descriptor: Any = field.enum_type
    return descriptor  # type: ignore[no-any-return]


def map_fields(field: FieldDescriptor) -> tuple[FieldDescriptor, FieldDescriptor]:
    """Key and value of a map."""
    names = message_of(field).fields_by_name
    return names["key"], names["value"]


def is_map(field: FieldDescriptor) -> bool:
    """Whether a field is a map."""
    message = field.message_type
    return message is not None and bool(message.GetOptions().map_entry)


def is_hash(field: FieldDescriptor) -> bool:
    """Whether a field holds a SHA-256, which people compare with what `sha256sum` prints."""
    return field.type == F.TYPE_BYTES and field.name == "sha256"
