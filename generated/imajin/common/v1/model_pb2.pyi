from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor

class ModelStyle(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODEL_STYLE_UNSPECIFIED: _ClassVar[ModelStyle]
    MODEL_STYLE_PHOTOREALISTIC: _ClassVar[ModelStyle]
    MODEL_STYLE_ANIME: _ClassVar[ModelStyle]
MODEL_STYLE_UNSPECIFIED: ModelStyle
MODEL_STYLE_PHOTOREALISTIC: ModelStyle
MODEL_STYLE_ANIME: ModelStyle
