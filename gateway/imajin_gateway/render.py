"""Messages -> JSON values."""

from __future__ import annotations

import base64
import math
import struct
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor as F
from google.protobuf.message import Message

from imajin_gateway import dialect


def render(message: Message) -> Any:
    """`message` as JSON has it.

    Fields without presence are always there, but for unspecified enum values and empty bytes, which say nothing.
    """
    if message.DESCRIPTOR.full_name.startswith(dialect.WELL_KNOWN):
        return json_format.MessageToDict(message)
    result: dict[str, Any] = {}
    for field in dialect.fields_of(message):
        if field.has_presence and not message.HasField(field.name):
            continue
        value = getattr(message, field.name)
        if dialect.is_map(field):
            _, inner = dialect.map_fields(field)
            result[field.json_name] = {map_key(key): one(value[key], inner) for key in sorted(value)}
        elif field.is_repeated:
            result[field.json_name] = [one(item, field) for item in value]
        elif says_something(value, field):
            result[field.json_name] = one(value, field)
    return result


def says_something(value: Any, field: F) -> bool:
    """Whether a singular field is worth its place."""
    return field.has_presence or field.type not in (F.TYPE_ENUM, F.TYPE_BYTES) or bool(value)


def one(value: Any, field: F) -> Any:
    """One value of a field."""
    if field.type == F.TYPE_MESSAGE:
        return render(value)
    if field.type == F.TYPE_ENUM:
        known = dialect.enum_of(field).values_by_number.get(value)
        return value if known is None else dialect.short(known)
    if field.type == F.TYPE_BYTES:
        return value.hex() if dialect.is_hash(field) and len(value) == 32 else base64.b64encode(value).decode("ascii")
    if field.type in dialect.LONG:
        return value if -dialect.SAFE_INTEGER < value < dialect.SAFE_INTEGER else str(value)
    if field.type in (F.TYPE_FLOAT, F.TYPE_DOUBLE):
        return real(value, field)
    return value


def real(value: float, field: F) -> float | str:
    """A number with as few digits as its precision needs; what JSON has no number for is text, as in protobuf's JSON."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if field.type == F.TYPE_FLOAT:
        for digits in range(6, 10):
            fewer = float(f"{value:.{digits}g}")
            if abs(fewer) < 3.4e38 and struct.unpack("<f", struct.pack("<f", fewer))[0] == value:
                return fewer
    return value


def map_key(key: Any) -> str:
    """Keys of JSON objects are text."""
    return str(key).lower() if isinstance(key, bool) else str(key)
