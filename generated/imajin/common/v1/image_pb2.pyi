from imajin.common.v1 import credentials_pb2 as _credentials_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FocalMethod(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FOCAL_METHOD_UNSPECIFIED: _ClassVar[FocalMethod]
    FOCAL_METHOD_GIVEN: _ClassVar[FocalMethod]
    FOCAL_METHOD_FACE: _ClassVar[FocalMethod]
    FOCAL_METHOD_SALIENCY: _ClassVar[FocalMethod]
    FOCAL_METHOD_CENTER: _ClassVar[FocalMethod]

class ImageFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    IMAGE_FORMAT_UNSPECIFIED: _ClassVar[ImageFormat]
    IMAGE_FORMAT_PNG: _ClassVar[ImageFormat]
    IMAGE_FORMAT_JPEG: _ClassVar[ImageFormat]
    IMAGE_FORMAT_WEBP: _ClassVar[ImageFormat]
    IMAGE_FORMAT_AVIF: _ClassVar[ImageFormat]
    IMAGE_FORMAT_RAW_RGB8: _ClassVar[ImageFormat]
    IMAGE_FORMAT_GIF: _ClassVar[ImageFormat]
FOCAL_METHOD_UNSPECIFIED: FocalMethod
FOCAL_METHOD_GIVEN: FocalMethod
FOCAL_METHOD_FACE: FocalMethod
FOCAL_METHOD_SALIENCY: FocalMethod
FOCAL_METHOD_CENTER: FocalMethod
IMAGE_FORMAT_UNSPECIFIED: ImageFormat
IMAGE_FORMAT_PNG: ImageFormat
IMAGE_FORMAT_JPEG: ImageFormat
IMAGE_FORMAT_WEBP: ImageFormat
IMAGE_FORMAT_AVIF: ImageFormat
IMAGE_FORMAT_RAW_RGB8: ImageFormat
IMAGE_FORMAT_GIF: ImageFormat

class ImageInfo(_message.Message):
    __slots__ = ("format", "width", "height", "size_bytes", "sha256")
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    format: ImageFormat
    width: int
    height: int
    size_bytes: int
    sha256: bytes
    def __init__(self, format: _Optional[_Union[ImageFormat, str]] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., size_bytes: _Optional[int] = ..., sha256: _Optional[bytes] = ...) -> None: ...

class ImageChunk(_message.Message):
    __slots__ = ("image_index", "offset", "data", "info", "last")
    IMAGE_INDEX_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    INFO_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    image_index: int
    offset: int
    data: bytes
    info: ImageInfo
    last: bool
    def __init__(self, image_index: _Optional[int] = ..., offset: _Optional[int] = ..., data: _Optional[bytes] = ..., info: _Optional[_Union[ImageInfo, _Mapping]] = ..., last: _Optional[bool] = ...) -> None: ...

class EncodedImage(_message.Message):
    __slots__ = ("name", "image_data", "image_index", "format", "width", "height", "size_bytes", "quality", "credentials", "file_name", "score")
    NAME_FIELD_NUMBER: _ClassVar[int]
    IMAGE_DATA_FIELD_NUMBER: _ClassVar[int]
    IMAGE_INDEX_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    CREDENTIALS_FIELD_NUMBER: _ClassVar[int]
    FILE_NAME_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    name: str
    image_data: bytes
    image_index: int
    format: ImageFormat
    width: int
    height: int
    size_bytes: int
    quality: int
    credentials: _credentials_pb2.Credentials
    file_name: str
    score: float
    def __init__(self, name: _Optional[str] = ..., image_data: _Optional[bytes] = ..., image_index: _Optional[int] = ..., format: _Optional[_Union[ImageFormat, str]] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., size_bytes: _Optional[int] = ..., quality: _Optional[int] = ..., credentials: _Optional[_Union[_credentials_pb2.Credentials, _Mapping]] = ..., file_name: _Optional[str] = ..., score: _Optional[float] = ...) -> None: ...

class Preview(_message.Message):
    __slots__ = ("image_data", "info", "step")
    IMAGE_DATA_FIELD_NUMBER: _ClassVar[int]
    INFO_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    image_data: bytes
    info: ImageInfo
    step: int
    def __init__(self, image_data: _Optional[bytes] = ..., info: _Optional[_Union[ImageInfo, _Mapping]] = ..., step: _Optional[int] = ...) -> None: ...

class Size(_message.Message):
    __slots__ = ("width", "height")
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    width: int
    height: int
    def __init__(self, width: _Optional[int] = ..., height: _Optional[int] = ...) -> None: ...

class Point(_message.Message):
    __slots__ = ("x", "y")
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    x: float
    y: float
    def __init__(self, x: _Optional[float] = ..., y: _Optional[float] = ...) -> None: ...

class Box(_message.Message):
    __slots__ = ("left", "top", "width", "height")
    LEFT_FIELD_NUMBER: _ClassVar[int]
    TOP_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    left: int
    top: int
    width: int
    height: int
    def __init__(self, left: _Optional[int] = ..., top: _Optional[int] = ..., width: _Optional[int] = ..., height: _Optional[int] = ...) -> None: ...

class FocalPoint(_message.Message):
    __slots__ = ("x", "y", "method", "confidence", "boxes")
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    BOXES_FIELD_NUMBER: _ClassVar[int]
    x: float
    y: float
    method: FocalMethod
    confidence: float
    boxes: _containers.RepeatedCompositeFieldContainer[Box]
    def __init__(self, x: _Optional[float] = ..., y: _Optional[float] = ..., method: _Optional[_Union[FocalMethod, str]] = ..., confidence: _Optional[float] = ..., boxes: _Optional[_Iterable[_Union[Box, _Mapping]]] = ...) -> None: ...
