"""The OpenAPI 3.1 document: paths from the contract's HTTP rules, schemas in the dialect of JSON that the gateway speaks."""

from __future__ import annotations

import re
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor import FieldDescriptor as F

from imajin_gateway import described, dialect
from imajin_gateway.contract import VARIABLE, Binding, Method, bindings
from imajin_gateway.incoming import HEADER_FIELDS
from imajin_gateway.schemas import SCALARS, Schema, error_schema, field_schema, reference

INTRODUCTION = """\
Names of fields may be sent as shown here or as the contract spells them (`negativePrompt`, `negative_prompt`); unknown ones are refused.
Enum values are short and lower-case (`convert-webp`); their full names and numbers are taken too. Integers of 64 bits are numbers
while they are safe in JavaScript, else text. Bytes are base64 (standard or URL-safe, or a `data:` URL), hashes are hexadecimal.
Fields that were not set are answered with their default where they have one."""
PIXELS = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAd0lEQVR42hXLMRVEIQwAwShBSURQUyNiRFBTIyIiqFF0/7adtxFXlDhiCWKKLlK0q5V2tKXRpta1D/LKkkcuSU7Z5QfjGmUcYxmMaXTjA5fisPyb9G8U+9plH3vZ7Gl3+4O6qtRR63/WVF198K5X3vGWx5te99IPIDlYwZz5r2wAAAAASUVORK5CYII="
EXAMPLES: dict[str, Any] = {
    "description": "a happy panda eating watermelon",
    "prompt": "a happy panda eating watermelon",
    "sizes": ["hero", "og", "300x600"],
    "imageData": PIXELS,
    "operations": ["optimize", "derivatives"],
    "seed": 7,
    "width": 64,
    "height": 64,
    "widths": [16],
    "count": 2,
}
"""Values that show what a field takes, by name; the image is 8 by 8 pixels."""


def openapi() -> Schema:
    """The document."""
    schemas: dict[str, Schema] = {"Error": error_schema()}
    paths: dict[str, Schema] = {}
    tags: dict[str, str] = {}
    for binding in bindings():
        service = binding.method.descriptor.containing_service
        tags[tag(binding)] = described.comments().get(service.full_name, "")
        path = VARIABLE.sub(r"{\1}", binding.template)
        paths.setdefault(path, {})[binding.verb.lower()] = operation(binding, schemas)
    paths |= health()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "imajin",
            "version": "1",
            "description": INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": [{"name": name, "description": text} for name, text in tags.items()],
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": dict(sorted(schemas.items()))},
    }


def tag(binding: Binding) -> str:
    """Heading that an operation stands under."""
    return str(binding.method.descriptor.containing_service.name).removesuffix("Service")


def operation(binding: Binding, schemas: dict[str, Schema]) -> Schema:
    """One way to call one rpc."""
    method = binding.method.descriptor
    text = described.comments().get(method.full_name, "")
    name = method.name[0].lower() + method.name[1:]
    main = binding.verb != "DELETE" or not method.name.startswith("Cancel")
    result: Schema = {
        "operationId": name if main else f"{name}By{binding.verb.capitalize()}",
        "tags": [tag(binding)],
        "summary": re.split(r"(?<=[.;:])\s", text)[0].rstrip(".;:"),
        "description": text,
    }
    if parameters := [*path_parameters(binding, schemas), *query_parameters(binding, schemas), *headers(binding)]:
        result["parameters"] = parameters
    if binding.body:
        result["requestBody"] = {"required": True, "content": request_content(binding, schemas)}
    result["responses"] = {
        "200": {"description": "OK", "content": response_content(binding, schemas)},
        "default": {
            "description": "An error; `code` says which, and the status follows from it.",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
        },
    }
    return result


def path_parameters(binding: Binding, schemas: dict[str, Schema]) -> list[Schema]:
    """Parameters in the path."""
    request = binding.method.descriptor.input_type
    fields = [request.fields_by_name[name] for name in binding.variables]
    return [
        {"name": field.name, "in": "path", "required": True, "schema": field_schema(field, schemas)} for field in fields
    ]


def query_parameters(binding: Binding, schemas: dict[str, Schema]) -> list[Schema]:
    """Parameters in the query: what neither path nor body fills."""
    if binding.body == "*":
        return []
    rest = [
        field
        for field in binding.method.descriptor.input_type.fields
        if field.name not in (*binding.variables, binding.body) and field.type != F.TYPE_MESSAGE
    ]
    return [
        {"name": field.json_name, "in": "query", "required": False, "schema": field_schema(field, schemas)}
        for field in rest
    ]


def headers(binding: Binding) -> list[Schema]:
    """Headers that fill a field."""
    names = binding.method.descriptor.input_type.fields_by_name
    return [
        {
            "name": header.title().replace("Id", "ID") if header == "last-event-id" else header.title(),
            "in": "header",
            "required": False,
            "description": described.comments().get(names[field].full_name, ""),
            "schema": {"type": "string"},
        }
        for header, field in HEADER_FIELDS.items()
        if field in names
    ]


def request_content(binding: Binding, schemas: dict[str, Schema]) -> Schema:
    """Bodies by media type."""
    schema = reference(binding.input, schemas)
    fields = {field.json_name: field for field in binding.input.fields}
    example = {name: value for name, value in EXAMPLES.items() if name in fields}
    content: Schema = {"application/json": {"schema": schema, "example": example}}
    if binding.takes_image:
        form = {name: field_schema(field, schemas) for name, field in fields.items() if name != "imageData"}
        image = {"type": "string", "contentMediaType": "application/octet-stream"}
        # Beside the image a form may carry small files, such as a mask.
        form |= {
            name: {**image, "description": form[name].get("description", "")}
            for name, field in fields.items()
            if name in form and field.type == field.TYPE_BYTES
        }
        content["multipart/form-data"] = {"schema": {"type": "object", "properties": {"image": image, **form}}}
        content["image/*"] = {
            "schema": {"description": "The image itself; every other field goes into the query.", **image}
        }
    return content


def response_content(binding: Binding, schemas: dict[str, Schema]) -> Schema:
    """Answers by media type."""
    content: Schema = {}
    for offer in binding.offers:
        if offer == "image/*":
            content[offer] = {"schema": {"type": "string", "contentMediaType": "application/octet-stream"}}
        elif offer == "text/event-stream":
            content[offer] = {"schema": events(binding.stream or binding.method, schemas)}
        elif offer == "application/x-ndjson":
            told = binding.stream or binding.method
            content[offer] = {"schema": reference(told.descriptor.output_type, schemas)}
        else:
            content[offer] = {"schema": reference(json_answer(binding), schemas)}
    return content


def json_answer(binding: Binding) -> Descriptor:
    """What a JSON answer holds."""
    method = binding.method
    if method.terminal is not None:
        return dialect.message_of(method.terminal)
    output = method.descriptor.output_type
    return dialect.message_of(output.fields_by_name[binding.response_body]) if binding.response_body else output


def events(method: Method, schemas: dict[str, Schema]) -> Schema:
    """A stream of events. OpenAPI 3.1 has no words for one: `x-events` gives the data of each event by its name."""
    named = {
        field.name: reference(dialect.message_of(field), schemas)
        if field.type == F.TYPE_MESSAGE
        else dict(SCALARS[field.type])
        for field in method.events
        if field.name not in ("chunk", "heartbeat")
    }
    if not named:
        named = {"message": reference(method.descriptor.output_type, schemas)}
    named |= {"error": {"$ref": "#/components/schemas/Error"}, "end": {"type": "object"}}
    listed = ", ".join(f"`{name}`" for name in named)
    return {
        "type": "string",
        "description": f"Server-sent events: {listed}. The data of each is JSON; `end` comes last.",
        "x-events": named,
    }


def health() -> dict[str, Schema]:
    """The paths of the gateway itself."""
    states = {"type": "string", "enum": ["serving", "not-serving", "unknown", "unreachable"]}
    schema = {
        "type": "object",
        "properties": {
            "status": {"type": "string", "enum": ["ok", "degraded"]},
            "gateway": {"type": "string", "enum": ["serving"]},
            "servers": {"type": "object", "additionalProperties": states},
        },
    }
    answer = {"content": {"application/json": {"schema": schema}}}
    well = {"200": {"description": "All serve.", **answer}, "503": {"description": "At least one does not.", **answer}}
    live = {"200": {"description": "The gateway answers.", **answer}}
    return {
        "/health": {
            "get": {"operationId": "health", "tags": ["Gateway"], "summary": "State of every server", "responses": well}
        },
        "/health/live": {
            "get": {
                "operationId": "live",
                "tags": ["Gateway"],
                "summary": "Whether the gateway answers",
                "responses": live,
            }
        },
    }
