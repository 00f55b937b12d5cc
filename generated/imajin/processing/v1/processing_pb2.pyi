from imajin.common.v1 import credentials_pb2 as _credentials_pb2
from imajin.common.v1 import finishing_pb2 as _finishing_pb2
from imajin.common.v1 import image_pb2 as _image_pb2
from imajin.common.v1 import progress_pb2 as _progress_pb2
from imajin.processing.v1 import page_pb2 as _page_pb2
from imajin.processing.v1 import verify_pb2 as _verify_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Operation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OPERATION_UNSPECIFIED: _ClassVar[Operation]
    OPERATION_SANITIZE: _ClassVar[Operation]
    OPERATION_OPTIMIZE: _ClassVar[Operation]
    OPERATION_CONVERT_WEBP: _ClassVar[Operation]
    OPERATION_DERIVATIVES: _ClassVar[Operation]
    OPERATION_DETECT_FOCAL_POINT: _ClassVar[Operation]
    OPERATION_CLIP_FOCAL: _ClassVar[Operation]
OPERATION_UNSPECIFIED: Operation
OPERATION_SANITIZE: Operation
OPERATION_OPTIMIZE: Operation
OPERATION_CONVERT_WEBP: Operation
OPERATION_DERIVATIVES: Operation
OPERATION_DETECT_FOCAL_POINT: Operation
OPERATION_CLIP_FOCAL: Operation

class ProcessRequest(_message.Message):
    __slots__ = ("spec", "chunk")
    SPEC_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    spec: ProcessSpec
    chunk: _image_pb2.ImageChunk
    def __init__(self, spec: _Optional[_Union[ProcessSpec, _Mapping]] = ..., chunk: _Optional[_Union[_image_pb2.ImageChunk, _Mapping]] = ...) -> None: ...

class ProcessSpec(_message.Message):
    __slots__ = ("image_data", "operations", "family", "size", "focal_point", "provenance", "target_quality", "page")
    IMAGE_DATA_FIELD_NUMBER: _ClassVar[int]
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    FOCAL_POINT_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_QUALITY_FIELD_NUMBER: _ClassVar[int]
    PAGE_FIELD_NUMBER: _ClassVar[int]
    image_data: bytes
    operations: _containers.RepeatedScalarFieldContainer[Operation]
    family: str
    size: _image_pb2.Size
    focal_point: _image_pb2.Point
    provenance: _credentials_pb2.Provenance
    target_quality: float
    page: _page_pb2.PageSpec
    def __init__(self, image_data: _Optional[bytes] = ..., operations: _Optional[_Iterable[_Union[Operation, str]]] = ..., family: _Optional[str] = ..., size: _Optional[_Union[_image_pb2.Size, _Mapping]] = ..., focal_point: _Optional[_Union[_image_pb2.Point, _Mapping]] = ..., provenance: _Optional[_Union[_credentials_pb2.Provenance, _Mapping]] = ..., target_quality: _Optional[float] = ..., page: _Optional[_Union[_page_pb2.PageSpec, _Mapping]] = ...) -> None: ...

class ProcessResponse(_message.Message):
    __slots__ = ("progress", "chunk", "result")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    progress: _progress_pb2.Progress
    chunk: _image_pb2.ImageChunk
    result: ProcessResult
    def __init__(self, progress: _Optional[_Union[_progress_pb2.Progress, _Mapping]] = ..., chunk: _Optional[_Union[_image_pb2.ImageChunk, _Mapping]] = ..., result: _Optional[_Union[ProcessResult, _Mapping]] = ...) -> None: ...

class ProcessResult(_message.Message):
    __slots__ = ("image_data", "image_index", "format", "width", "height", "size_bytes", "variants", "derivatives", "focal_point", "metadata", "credentials", "quality", "score", "file_name", "page")
    IMAGE_DATA_FIELD_NUMBER: _ClassVar[int]
    IMAGE_INDEX_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    VARIANTS_FIELD_NUMBER: _ClassVar[int]
    DERIVATIVES_FIELD_NUMBER: _ClassVar[int]
    FOCAL_POINT_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    CREDENTIALS_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    FILE_NAME_FIELD_NUMBER: _ClassVar[int]
    PAGE_FIELD_NUMBER: _ClassVar[int]
    image_data: bytes
    image_index: int
    format: _image_pb2.ImageFormat
    width: int
    height: int
    size_bytes: int
    variants: _containers.RepeatedCompositeFieldContainer[_image_pb2.EncodedImage]
    derivatives: _containers.RepeatedCompositeFieldContainer[_image_pb2.EncodedImage]
    focal_point: _image_pb2.FocalPoint
    metadata: SourceMetadata
    credentials: _credentials_pb2.Credentials
    quality: int
    score: float
    file_name: str
    page: _page_pb2.Page
    def __init__(self, image_data: _Optional[bytes] = ..., image_index: _Optional[int] = ..., format: _Optional[_Union[_image_pb2.ImageFormat, str]] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., size_bytes: _Optional[int] = ..., variants: _Optional[_Iterable[_Union[_image_pb2.EncodedImage, _Mapping]]] = ..., derivatives: _Optional[_Iterable[_Union[_image_pb2.EncodedImage, _Mapping]]] = ..., focal_point: _Optional[_Union[_image_pb2.FocalPoint, _Mapping]] = ..., metadata: _Optional[_Union[SourceMetadata, _Mapping]] = ..., credentials: _Optional[_Union[_credentials_pb2.Credentials, _Mapping]] = ..., quality: _Optional[int] = ..., score: _Optional[float] = ..., file_name: _Optional[str] = ..., page: _Optional[_Union[_page_pb2.Page, _Mapping]] = ...) -> None: ...

class SourceMetadata(_message.Message):
    __slots__ = ("format", "width", "height", "size_bytes", "has_alpha", "frames", "removed", "decode_ms", "encode_ms", "thumb_hash")
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    HAS_ALPHA_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    DECODE_MS_FIELD_NUMBER: _ClassVar[int]
    ENCODE_MS_FIELD_NUMBER: _ClassVar[int]
    THUMB_HASH_FIELD_NUMBER: _ClassVar[int]
    format: _image_pb2.ImageFormat
    width: int
    height: int
    size_bytes: int
    has_alpha: bool
    frames: int
    removed: _containers.RepeatedScalarFieldContainer[str]
    decode_ms: float
    encode_ms: float
    thumb_hash: str
    def __init__(self, format: _Optional[_Union[_image_pb2.ImageFormat, str]] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., size_bytes: _Optional[int] = ..., has_alpha: _Optional[bool] = ..., frames: _Optional[int] = ..., removed: _Optional[_Iterable[str]] = ..., decode_ms: _Optional[float] = ..., encode_ms: _Optional[float] = ..., thumb_hash: _Optional[str] = ...) -> None: ...

class CreateDerivativesRequest(_message.Message):
    __slots__ = ("spec", "chunk")
    SPEC_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    spec: DerivativesSpec
    chunk: _image_pb2.ImageChunk
    def __init__(self, spec: _Optional[_Union[DerivativesSpec, _Mapping]] = ..., chunk: _Optional[_Union[_image_pb2.ImageChunk, _Mapping]] = ...) -> None: ...

class DerivativesSpec(_message.Message):
    __slots__ = ("image_data", "family", "widths", "formats", "provenance", "target_quality", "page")
    IMAGE_DATA_FIELD_NUMBER: _ClassVar[int]
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    WIDTHS_FIELD_NUMBER: _ClassVar[int]
    FORMATS_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_QUALITY_FIELD_NUMBER: _ClassVar[int]
    PAGE_FIELD_NUMBER: _ClassVar[int]
    image_data: bytes
    family: str
    widths: _containers.RepeatedScalarFieldContainer[int]
    formats: _containers.RepeatedScalarFieldContainer[_image_pb2.ImageFormat]
    provenance: _credentials_pb2.Provenance
    target_quality: float
    page: _page_pb2.PageSpec
    def __init__(self, image_data: _Optional[bytes] = ..., family: _Optional[str] = ..., widths: _Optional[_Iterable[int]] = ..., formats: _Optional[_Iterable[_Union[_image_pb2.ImageFormat, str]]] = ..., provenance: _Optional[_Union[_credentials_pb2.Provenance, _Mapping]] = ..., target_quality: _Optional[float] = ..., page: _Optional[_Union[_page_pb2.PageSpec, _Mapping]] = ...) -> None: ...

class CreateDerivativesResponse(_message.Message):
    __slots__ = ("progress", "chunk", "result")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    progress: _progress_pb2.Progress
    chunk: _image_pb2.ImageChunk
    result: DerivativesResult
    def __init__(self, progress: _Optional[_Union[_progress_pb2.Progress, _Mapping]] = ..., chunk: _Optional[_Union[_image_pb2.ImageChunk, _Mapping]] = ..., result: _Optional[_Union[DerivativesResult, _Mapping]] = ...) -> None: ...

class DerivativesResult(_message.Message):
    __slots__ = ("derivatives", "metadata", "page")
    DERIVATIVES_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    PAGE_FIELD_NUMBER: _ClassVar[int]
    derivatives: _containers.RepeatedCompositeFieldContainer[_image_pb2.EncodedImage]
    metadata: SourceMetadata
    page: _page_pb2.Page
    def __init__(self, derivatives: _Optional[_Iterable[_Union[_image_pb2.EncodedImage, _Mapping]]] = ..., metadata: _Optional[_Union[SourceMetadata, _Mapping]] = ..., page: _Optional[_Union[_page_pb2.Page, _Mapping]] = ...) -> None: ...

class ClipFocalRequest(_message.Message):
    __slots__ = ("spec", "chunk")
    SPEC_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    spec: ClipFocalSpec
    chunk: _image_pb2.ImageChunk
    def __init__(self, spec: _Optional[_Union[ClipFocalSpec, _Mapping]] = ..., chunk: _Optional[_Union[_image_pb2.ImageChunk, _Mapping]] = ...) -> None: ...

class ClipFocalSpec(_message.Message):
    __slots__ = ("image_data", "width", "height", "focal_point", "format", "quality", "text_overlay", "watermark", "max_upscale", "provenance", "target_quality")
    IMAGE_DATA_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    FOCAL_POINT_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    TEXT_OVERLAY_FIELD_NUMBER: _ClassVar[int]
    WATERMARK_FIELD_NUMBER: _ClassVar[int]
    MAX_UPSCALE_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_QUALITY_FIELD_NUMBER: _ClassVar[int]
    image_data: bytes
    width: int
    height: int
    focal_point: _image_pb2.Point
    format: _image_pb2.ImageFormat
    quality: int
    text_overlay: _finishing_pb2.TextOverlay
    watermark: _finishing_pb2.Watermark
    max_upscale: float
    provenance: _credentials_pb2.Provenance
    target_quality: float
    def __init__(self, image_data: _Optional[bytes] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., focal_point: _Optional[_Union[_image_pb2.Point, _Mapping]] = ..., format: _Optional[_Union[_image_pb2.ImageFormat, str]] = ..., quality: _Optional[int] = ..., text_overlay: _Optional[_Union[_finishing_pb2.TextOverlay, _Mapping]] = ..., watermark: _Optional[_Union[_finishing_pb2.Watermark, _Mapping]] = ..., max_upscale: _Optional[float] = ..., provenance: _Optional[_Union[_credentials_pb2.Provenance, _Mapping]] = ..., target_quality: _Optional[float] = ...) -> None: ...

class ClipFocalResponse(_message.Message):
    __slots__ = ("chunk", "result")
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    chunk: _image_pb2.ImageChunk
    result: ClipFocalResult
    def __init__(self, chunk: _Optional[_Union[_image_pb2.ImageChunk, _Mapping]] = ..., result: _Optional[_Union[ClipFocalResult, _Mapping]] = ...) -> None: ...

class ClipFocalResult(_message.Message):
    __slots__ = ("image_data", "image_index", "format", "width", "height", "size_bytes", "focal_point", "crop", "upscale", "credentials", "quality", "score", "file_name")
    IMAGE_DATA_FIELD_NUMBER: _ClassVar[int]
    IMAGE_INDEX_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    FOCAL_POINT_FIELD_NUMBER: _ClassVar[int]
    CROP_FIELD_NUMBER: _ClassVar[int]
    UPSCALE_FIELD_NUMBER: _ClassVar[int]
    CREDENTIALS_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    FILE_NAME_FIELD_NUMBER: _ClassVar[int]
    image_data: bytes
    image_index: int
    format: _image_pb2.ImageFormat
    width: int
    height: int
    size_bytes: int
    focal_point: _image_pb2.FocalPoint
    crop: _image_pb2.Box
    upscale: float
    credentials: _credentials_pb2.Credentials
    quality: int
    score: float
    file_name: str
    def __init__(self, image_data: _Optional[bytes] = ..., image_index: _Optional[int] = ..., format: _Optional[_Union[_image_pb2.ImageFormat, str]] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., size_bytes: _Optional[int] = ..., focal_point: _Optional[_Union[_image_pb2.FocalPoint, _Mapping]] = ..., crop: _Optional[_Union[_image_pb2.Box, _Mapping]] = ..., upscale: _Optional[float] = ..., credentials: _Optional[_Union[_credentials_pb2.Credentials, _Mapping]] = ..., quality: _Optional[int] = ..., score: _Optional[float] = ..., file_name: _Optional[str] = ...) -> None: ...

class DetectFocalPointRequest(_message.Message):
    __slots__ = ("spec", "chunk")
    SPEC_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    spec: DetectFocalPointSpec
    chunk: _image_pb2.ImageChunk
    def __init__(self, spec: _Optional[_Union[DetectFocalPointSpec, _Mapping]] = ..., chunk: _Optional[_Union[_image_pb2.ImageChunk, _Mapping]] = ...) -> None: ...

class DetectFocalPointSpec(_message.Message):
    __slots__ = ("image_data",)
    IMAGE_DATA_FIELD_NUMBER: _ClassVar[int]
    image_data: bytes
    def __init__(self, image_data: _Optional[bytes] = ...) -> None: ...

class DetectFocalPointResponse(_message.Message):
    __slots__ = ("focal_point",)
    FOCAL_POINT_FIELD_NUMBER: _ClassVar[int]
    focal_point: _image_pb2.FocalPoint
    def __init__(self, focal_point: _Optional[_Union[_image_pb2.FocalPoint, _Mapping]] = ...) -> None: ...

class ListFamiliesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListFamiliesResponse(_message.Message):
    __slots__ = ("families", "default_family")
    class FamiliesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Family
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Family, _Mapping]] = ...) -> None: ...
    FAMILIES_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_FAMILY_FIELD_NUMBER: _ClassVar[int]
    families: _containers.MessageMap[str, Family]
    default_family: str
    def __init__(self, families: _Optional[_Mapping[str, Family]] = ..., default_family: _Optional[str] = ...) -> None: ...

class Family(_message.Message):
    __slots__ = ("widths", "formats")
    WIDTHS_FIELD_NUMBER: _ClassVar[int]
    FORMATS_FIELD_NUMBER: _ClassVar[int]
    widths: _containers.RepeatedScalarFieldContainer[int]
    formats: _containers.RepeatedScalarFieldContainer[_image_pb2.ImageFormat]
    def __init__(self, widths: _Optional[_Iterable[int]] = ..., formats: _Optional[_Iterable[_Union[_image_pb2.ImageFormat, str]]] = ...) -> None: ...
