from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MarkOmission(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MARK_OMISSION_UNSPECIFIED: _ClassVar[MarkOmission]
    MARK_OMISSION_OFF: _ClassVar[MarkOmission]
    MARK_OMISSION_TOO_SMALL: _ClassVar[MarkOmission]
    MARK_OMISSION_UNTOUCHED: _ClassVar[MarkOmission]
MARK_OMISSION_UNSPECIFIED: MarkOmission
MARK_OMISSION_OFF: MarkOmission
MARK_OMISSION_TOO_SMALL: MarkOmission
MARK_OMISSION_UNTOUCHED: MarkOmission

class Provenance(_message.Message):
    __slots__ = ("generated", "content_id", "manifest")
    GENERATED_FIELD_NUMBER: _ClassVar[int]
    CONTENT_ID_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    generated: bool
    content_id: str
    manifest: bytes
    def __init__(self, generated: _Optional[bool] = ..., content_id: _Optional[str] = ..., manifest: _Optional[bytes] = ...) -> None: ...

class Credentials(_message.Message):
    __slots__ = ("manifest", "mark", "content_id", "mark_omission")
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    MARK_FIELD_NUMBER: _ClassVar[int]
    CONTENT_ID_FIELD_NUMBER: _ClassVar[int]
    MARK_OMISSION_FIELD_NUMBER: _ClassVar[int]
    manifest: bool
    mark: bool
    content_id: str
    mark_omission: MarkOmission
    def __init__(self, manifest: _Optional[bool] = ..., mark: _Optional[bool] = ..., content_id: _Optional[str] = ..., mark_omission: _Optional[_Union[MarkOmission, str]] = ...) -> None: ...
