from imajin.common.v1 import credentials_pb2 as _credentials_pb2
from imajin.common.v1 import drawing_pb2 as _drawing_pb2
from imajin.common.v1 import finishing_pb2 as _finishing_pb2
from imajin.common.v1 import image_pb2 as _image_pb2
from imajin.common.v1 import model_pb2 as _model_pb2
from imajin.common.v1 import progress_pb2 as _progress_pb2
from imajin.job.v1 import job_pb2 as _job_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GenerateRequest(_message.Message):
    __slots__ = ("prompt", "negative_prompt", "model", "style", "width", "height", "steps", "guidance_scale", "seed", "format", "text_overlay", "watermark", "preview_interval", "priority", "skip_processing", "family", "scheduler", "loras", "noise_canvas")
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_PROMPT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    STYLE_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    GUIDANCE_SCALE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    TEXT_OVERLAY_FIELD_NUMBER: _ClassVar[int]
    WATERMARK_FIELD_NUMBER: _ClassVar[int]
    PREVIEW_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    SKIP_PROCESSING_FIELD_NUMBER: _ClassVar[int]
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    SCHEDULER_FIELD_NUMBER: _ClassVar[int]
    LORAS_FIELD_NUMBER: _ClassVar[int]
    NOISE_CANVAS_FIELD_NUMBER: _ClassVar[int]
    prompt: str
    negative_prompt: str
    model: str
    style: _model_pb2.ModelStyle
    width: int
    height: int
    steps: int
    guidance_scale: float
    seed: int
    format: _image_pb2.ImageFormat
    text_overlay: _finishing_pb2.TextOverlay
    watermark: _finishing_pb2.Watermark
    preview_interval: int
    priority: int
    skip_processing: bool
    family: str
    scheduler: _drawing_pb2.Scheduler
    loras: _containers.RepeatedCompositeFieldContainer[_drawing_pb2.LoraWeight]
    noise_canvas: _image_pb2.Size
    def __init__(self, prompt: _Optional[str] = ..., negative_prompt: _Optional[str] = ..., model: _Optional[str] = ..., style: _Optional[_Union[_model_pb2.ModelStyle, str]] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., steps: _Optional[int] = ..., guidance_scale: _Optional[float] = ..., seed: _Optional[int] = ..., format: _Optional[_Union[_image_pb2.ImageFormat, str]] = ..., text_overlay: _Optional[_Union[_finishing_pb2.TextOverlay, _Mapping]] = ..., watermark: _Optional[_Union[_finishing_pb2.Watermark, _Mapping]] = ..., preview_interval: _Optional[int] = ..., priority: _Optional[int] = ..., skip_processing: _Optional[bool] = ..., family: _Optional[str] = ..., scheduler: _Optional[_Union[_drawing_pb2.Scheduler, str]] = ..., loras: _Optional[_Iterable[_Union[_drawing_pb2.LoraWeight, _Mapping]]] = ..., noise_canvas: _Optional[_Union[_image_pb2.Size, _Mapping]] = ...) -> None: ...

class GenerateResponse(_message.Message):
    __slots__ = ("progress", "preview", "chunk", "result")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    PREVIEW_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    progress: _progress_pb2.Progress
    preview: _image_pb2.Preview
    chunk: _image_pb2.ImageChunk
    result: GenerateResult
    def __init__(self, progress: _Optional[_Union[_progress_pb2.Progress, _Mapping]] = ..., preview: _Optional[_Union[_image_pb2.Preview, _Mapping]] = ..., chunk: _Optional[_Union[_image_pb2.ImageChunk, _Mapping]] = ..., result: _Optional[_Union[GenerateResult, _Mapping]] = ...) -> None: ...

class GenerateResult(_message.Message):
    __slots__ = ("image_data", "image_index", "format", "width", "height", "seed", "model", "steps", "guidance_scale", "derivatives", "moderation", "generating_ms", "processing_ms", "credentials")
    IMAGE_DATA_FIELD_NUMBER: _ClassVar[int]
    IMAGE_INDEX_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    GUIDANCE_SCALE_FIELD_NUMBER: _ClassVar[int]
    DERIVATIVES_FIELD_NUMBER: _ClassVar[int]
    MODERATION_FIELD_NUMBER: _ClassVar[int]
    GENERATING_MS_FIELD_NUMBER: _ClassVar[int]
    PROCESSING_MS_FIELD_NUMBER: _ClassVar[int]
    CREDENTIALS_FIELD_NUMBER: _ClassVar[int]
    image_data: bytes
    image_index: int
    format: _image_pb2.ImageFormat
    width: int
    height: int
    seed: int
    model: str
    steps: int
    guidance_scale: float
    derivatives: _containers.RepeatedCompositeFieldContainer[_image_pb2.EncodedImage]
    moderation: _finishing_pb2.Moderation
    generating_ms: float
    processing_ms: float
    credentials: _credentials_pb2.Credentials
    def __init__(self, image_data: _Optional[bytes] = ..., image_index: _Optional[int] = ..., format: _Optional[_Union[_image_pb2.ImageFormat, str]] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., seed: _Optional[int] = ..., model: _Optional[str] = ..., steps: _Optional[int] = ..., guidance_scale: _Optional[float] = ..., derivatives: _Optional[_Iterable[_Union[_image_pb2.EncodedImage, _Mapping]]] = ..., moderation: _Optional[_Union[_finishing_pb2.Moderation, _Mapping]] = ..., generating_ms: _Optional[float] = ..., processing_ms: _Optional[float] = ..., credentials: _Optional[_Union[_credentials_pb2.Credentials, _Mapping]] = ...) -> None: ...

class SubmitGenerateRequest(_message.Message):
    __slots__ = ("generate", "request_id")
    GENERATE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    generate: GenerateRequest
    request_id: str
    def __init__(self, generate: _Optional[_Union[GenerateRequest, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class SubmitGenerateResponse(_message.Message):
    __slots__ = ("job_id", "status")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    status: _job_pb2.JobStatus
    def __init__(self, job_id: _Optional[str] = ..., status: _Optional[_Union[_job_pb2.JobStatus, str]] = ...) -> None: ...

class SubmitBatchSizesRequest(_message.Message):
    __slots__ = ("prompt", "negative_prompt", "sizes", "seed", "priority", "model", "style", "steps", "guidance_scale", "format", "text_overlay", "watermark", "request_id", "scheduler", "loras")
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_PROMPT_FIELD_NUMBER: _ClassVar[int]
    SIZES_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    STYLE_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    GUIDANCE_SCALE_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    TEXT_OVERLAY_FIELD_NUMBER: _ClassVar[int]
    WATERMARK_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SCHEDULER_FIELD_NUMBER: _ClassVar[int]
    LORAS_FIELD_NUMBER: _ClassVar[int]
    prompt: str
    negative_prompt: str
    sizes: _containers.RepeatedScalarFieldContainer[str]
    seed: int
    priority: int
    model: str
    style: _model_pb2.ModelStyle
    steps: int
    guidance_scale: float
    format: _image_pb2.ImageFormat
    text_overlay: _finishing_pb2.TextOverlay
    watermark: _finishing_pb2.Watermark
    request_id: str
    scheduler: _drawing_pb2.Scheduler
    loras: _containers.RepeatedCompositeFieldContainer[_drawing_pb2.LoraWeight]
    def __init__(self, prompt: _Optional[str] = ..., negative_prompt: _Optional[str] = ..., sizes: _Optional[_Iterable[str]] = ..., seed: _Optional[int] = ..., priority: _Optional[int] = ..., model: _Optional[str] = ..., style: _Optional[_Union[_model_pb2.ModelStyle, str]] = ..., steps: _Optional[int] = ..., guidance_scale: _Optional[float] = ..., format: _Optional[_Union[_image_pb2.ImageFormat, str]] = ..., text_overlay: _Optional[_Union[_finishing_pb2.TextOverlay, _Mapping]] = ..., watermark: _Optional[_Union[_finishing_pb2.Watermark, _Mapping]] = ..., request_id: _Optional[str] = ..., scheduler: _Optional[_Union[_drawing_pb2.Scheduler, str]] = ..., loras: _Optional[_Iterable[_Union[_drawing_pb2.LoraWeight, _Mapping]]] = ...) -> None: ...

class SubmitBatchSizesResponse(_message.Message):
    __slots__ = ("job_id", "status")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    status: _job_pb2.JobStatus
    def __init__(self, job_id: _Optional[str] = ..., status: _Optional[_Union[_job_pb2.JobStatus, str]] = ...) -> None: ...

class PlanBatchSizesRequest(_message.Message):
    __slots__ = ("sizes", "model", "style")
    SIZES_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    STYLE_FIELD_NUMBER: _ClassVar[int]
    sizes: _containers.RepeatedScalarFieldContainer[str]
    model: str
    style: _model_pb2.ModelStyle
    def __init__(self, sizes: _Optional[_Iterable[str]] = ..., model: _Optional[str] = ..., style: _Optional[_Union[_model_pb2.ModelStyle, str]] = ...) -> None: ...

class PlanBatchSizesResponse(_message.Message):
    __slots__ = ("bases", "crops")
    BASES_FIELD_NUMBER: _ClassVar[int]
    CROPS_FIELD_NUMBER: _ClassVar[int]
    bases: _containers.RepeatedCompositeFieldContainer[PlannedBase]
    crops: _containers.RepeatedCompositeFieldContainer[PlannedCrop]
    def __init__(self, bases: _Optional[_Iterable[_Union[PlannedBase, _Mapping]]] = ..., crops: _Optional[_Iterable[_Union[PlannedCrop, _Mapping]]] = ...) -> None: ...

class PlannedBase(_message.Message):
    __slots__ = ("name", "width", "height")
    NAME_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    name: str
    width: int
    height: int
    def __init__(self, name: _Optional[str] = ..., width: _Optional[int] = ..., height: _Optional[int] = ...) -> None: ...

class PlannedCrop(_message.Message):
    __slots__ = ("name", "width", "height", "base", "upscale", "kept")
    NAME_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    UPSCALE_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    name: str
    width: int
    height: int
    base: str
    upscale: float
    kept: float
    def __init__(self, name: _Optional[str] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., base: _Optional[str] = ..., upscale: _Optional[float] = ..., kept: _Optional[float] = ...) -> None: ...

class ListSizesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListSizesResponse(_message.Message):
    __slots__ = ("sizes",)
    class SizesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _image_pb2.Size
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_image_pb2.Size, _Mapping]] = ...) -> None: ...
    SIZES_FIELD_NUMBER: _ClassVar[int]
    sizes: _containers.MessageMap[str, _image_pb2.Size]
    def __init__(self, sizes: _Optional[_Mapping[str, _image_pb2.Size]] = ...) -> None: ...
