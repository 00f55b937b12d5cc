import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from imajin.common.v1 import image_pb2 as _image_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Verdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VERDICT_UNSPECIFIED: _ClassVar[Verdict]
    VERDICT_GENERATED: _ClassVar[Verdict]
    VERDICT_GENERATED_UNTRUSTED: _ClassVar[Verdict]
    VERDICT_GENERATED_BY_MARK: _ClassVar[Verdict]
    VERDICT_NOT_GENERATED: _ClassVar[Verdict]
    VERDICT_BROKEN: _ClassVar[Verdict]
    VERDICT_NONE: _ClassVar[Verdict]

class ManifestState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MANIFEST_STATE_UNSPECIFIED: _ClassVar[ManifestState]
    MANIFEST_STATE_TRUSTED: _ClassVar[ManifestState]
    MANIFEST_STATE_VALID: _ClassVar[ManifestState]
    MANIFEST_STATE_INVALID: _ClassVar[ManifestState]
    MANIFEST_STATE_BROKEN: _ClassVar[ManifestState]
VERDICT_UNSPECIFIED: Verdict
VERDICT_GENERATED: Verdict
VERDICT_GENERATED_UNTRUSTED: Verdict
VERDICT_GENERATED_BY_MARK: Verdict
VERDICT_NOT_GENERATED: Verdict
VERDICT_BROKEN: Verdict
VERDICT_NONE: Verdict
MANIFEST_STATE_UNSPECIFIED: ManifestState
MANIFEST_STATE_TRUSTED: ManifestState
MANIFEST_STATE_VALID: ManifestState
MANIFEST_STATE_INVALID: ManifestState
MANIFEST_STATE_BROKEN: ManifestState

class VerifyRequest(_message.Message):
    __slots__ = ("spec", "chunk")
    SPEC_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    spec: VerifySpec
    chunk: _image_pb2.ImageChunk
    def __init__(self, spec: _Optional[_Union[VerifySpec, _Mapping]] = ..., chunk: _Optional[_Union[_image_pb2.ImageChunk, _Mapping]] = ...) -> None: ...

class VerifySpec(_message.Message):
    __slots__ = ("image_data",)
    IMAGE_DATA_FIELD_NUMBER: _ClassVar[int]
    image_data: bytes
    def __init__(self, image_data: _Optional[bytes] = ...) -> None: ...

class VerifyResponse(_message.Message):
    __slots__ = ("verdict", "manifest", "mark", "format", "width", "height")
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    MARK_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    verdict: Verdict
    manifest: Manifest
    mark: Mark
    format: _image_pb2.ImageFormat
    width: int
    height: int
    def __init__(self, verdict: _Optional[_Union[Verdict, str]] = ..., manifest: _Optional[_Union[Manifest, _Mapping]] = ..., mark: _Optional[_Union[Mark, _Mapping]] = ..., format: _Optional[_Union[_image_pb2.ImageFormat, str]] = ..., width: _Optional[int] = ..., height: _Optional[int] = ...) -> None: ...

class Manifest(_message.Message):
    __slots__ = ("state", "issuer", "signer", "signed_at", "created_at", "generator", "source_type", "model", "prompt", "content_id", "actions", "ancestors", "statuses", "error")
    STATE_FIELD_NUMBER: _ClassVar[int]
    ISSUER_FIELD_NUMBER: _ClassVar[int]
    SIGNER_FIELD_NUMBER: _ClassVar[int]
    SIGNED_AT_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    GENERATOR_FIELD_NUMBER: _ClassVar[int]
    SOURCE_TYPE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    CONTENT_ID_FIELD_NUMBER: _ClassVar[int]
    ACTIONS_FIELD_NUMBER: _ClassVar[int]
    ANCESTORS_FIELD_NUMBER: _ClassVar[int]
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    state: ManifestState
    issuer: str
    signer: str
    signed_at: _timestamp_pb2.Timestamp
    created_at: _timestamp_pb2.Timestamp
    generator: str
    source_type: str
    model: str
    prompt: str
    content_id: str
    actions: _containers.RepeatedScalarFieldContainer[str]
    ancestors: _containers.RepeatedCompositeFieldContainer[Ancestor]
    statuses: _containers.RepeatedScalarFieldContainer[str]
    error: str
    def __init__(self, state: _Optional[_Union[ManifestState, str]] = ..., issuer: _Optional[str] = ..., signer: _Optional[str] = ..., signed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., generator: _Optional[str] = ..., source_type: _Optional[str] = ..., model: _Optional[str] = ..., prompt: _Optional[str] = ..., content_id: _Optional[str] = ..., actions: _Optional[_Iterable[str]] = ..., ancestors: _Optional[_Iterable[_Union[Ancestor, _Mapping]]] = ..., statuses: _Optional[_Iterable[str]] = ..., error: _Optional[str] = ...) -> None: ...

class Ancestor(_message.Message):
    __slots__ = ("title", "format", "relationship", "signed")
    TITLE_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    RELATIONSHIP_FIELD_NUMBER: _ClassVar[int]
    SIGNED_FIELD_NUMBER: _ClassVar[int]
    title: str
    format: str
    relationship: str
    signed: bool
    def __init__(self, title: _Optional[str] = ..., format: _Optional[str] = ..., relationship: _Optional[str] = ..., signed: _Optional[bool] = ...) -> None: ...

class Mark(_message.Message):
    __slots__ = ("found", "content_id", "confidence", "version", "period")
    FOUND_FIELD_NUMBER: _ClassVar[int]
    CONTENT_ID_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    found: bool
    content_id: str
    confidence: float
    version: int
    period: float
    def __init__(self, found: _Optional[bool] = ..., content_id: _Optional[str] = ..., confidence: _Optional[float] = ..., version: _Optional[int] = ..., period: _Optional[float] = ...) -> None: ...
