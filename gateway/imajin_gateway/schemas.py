"""JSON Schemas of the contract's messages, in the dialect of JSON that the gateway speaks."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor
from google.protobuf.descriptor import FieldDescriptor as F

from imajin_gateway import described, dialect
from imajin_gateway.errors import HTTP_STATUS

Schema = dict[str, Any]

WELL_KNOWN: dict[str, Schema] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$", "examples": ["1.500s"]},
}
SCALARS: dict[int, Schema] = {
    F.TYPE_BOOL: {"type": "boolean"},
    F.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    F.TYPE_DOUBLE: {"type": "number", "format": "double"},
    F.TYPE_FLOAT: {"type": "number", "format": "float"},
    F.TYPE_INT32: {"type": "integer", "format": "int32"},
    F.TYPE_INT64: {"type": ["integer", "string"], "format": "int64"},
    F.TYPE_STRING: {"type": "string"},
    F.TYPE_UINT32: {"type": "integer", "format": "uint32", "minimum": 0},
    F.TYPE_UINT64: {"type": ["integer", "string"], "format": "uint64"},
}


def reference(message: Descriptor, schemas: dict[str, Schema]) -> Schema:
    """A reference to the schema of a message, which is made on the way."""
    if message.full_name in WELL_KNOWN:
        return dict(WELL_KNOWN[message.full_name])
    name = short(message.full_name)
    if name not in schemas:
        schema: Schema = {"type": "object", "description": described.comments().get(message.full_name, "")}
        schemas[name] = schema
        schema["properties"] = {field.json_name: field_schema(field, schemas) for field in message.fields}
        if required := [field.json_name for field in message.fields if described.is_required(field.full_name)]:
            schema["required"] = required
    return {"$ref": f"#/components/schemas/{name}"}


def short(full_name: str) -> str:
    """`imajin.common.v1.Size` as `common.Size`."""
    return full_name.removeprefix("imajin.").replace(".v1.", ".")


def field_schema(field: F, schemas: dict[str, Schema]) -> Schema:
    """The schema of a field, with its comment and limits."""
    limits = described.limits(field.full_name)
    items_limits = limits.pop("items", {})
    numbers = limits.pop("numbers", None) or items_limits.pop("numbers", None)
    if dialect.is_map(field):
        _, value = dialect.map_fields(field)
        schema: Schema = {"type": "object", "additionalProperties": one(value, schemas)}
    elif field.is_repeated:
        schema = {"type": "array", "items": {**one(field, schemas, numbers), **items_limits}}
    else:
        schema = one(field, schemas, numbers)
    return {
        **schema,
        **limits,
        **({"description": text} if (text := described.comments().get(field.full_name)) else {}),
    }


def one(field: F, schemas: dict[str, Schema], numbers: list[int] | None = None) -> Schema:
    """The schema of one value of a field."""
    if field.type == F.TYPE_MESSAGE:
        return reference(dialect.message_of(field), schemas)
    if field.type == F.TYPE_ENUM:
        return enum_schema(dialect.enum_of(field), numbers)
    if dialect.is_hash(field):
        return {"type": "string", "pattern": "^[0-9a-f]{64}$"}
    return dict(SCALARS[field.type])


def enum_schema(enum: EnumDescriptor, numbers: list[int] | None) -> Schema:
    """The values of an enum in short."""
    values = [value for value in enum.values if value.number and (numbers is None or value.number in numbers)]
    return {"type": "string", "enum": [dialect.short(value) for value in values]}


def error_schema() -> Schema:
    """What every error looks like."""
    codes = "\n".join(f"- `{code}`: {status}" for code, status in sorted(HTTP_STATUS.items()))
    fields = {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"field": {"type": "string"}, "description": {"type": "string"}},
        },
    }
    return {
        "type": "object",
        "description": "What went wrong.",
        "required": ["error", "code", "details"],
        "properties": {
            "error": {"type": "string", "description": "For people."},
            "code": {"type": "string", "description": f"For programs; each has its HTTP status:\n\n{codes}"},
            "details": {
                "type": "object",
                "description": "Facts about this failure; `fields` lists what is wrong with the request.",
                "properties": {"fields": fields, "retryAfterSeconds": {"type": "number"}},
                "additionalProperties": {"type": "string"},
            },
        },
        "example": {
            "error": "GPU out of memory",
            "code": "GPU_OOM",
            "details": {"requested": "8GB", "available": "4GB"},
        },
    }
