from imajin.common.v1 import credentials_pb2 as _credentials_pb2
from imajin.common.v1 import drawing_pb2 as _drawing_pb2
from imajin.common.v1 import finishing_pb2 as _finishing_pb2
from imajin.common.v1 import image_pb2 as _image_pb2
from imajin.common.v1 import model_pb2 as _model_pb2
from imajin.common.v1 import progress_pb2 as _progress_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EditArea(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EDIT_AREA_UNSPECIFIED: _ClassVar[EditArea]
    EDIT_AREA_IMAGE: _ClassVar[EditArea]
    EDIT_AREA_MASK: _ClassVar[EditArea]
EDIT_AREA_UNSPECIFIED: EditArea
EDIT_AREA_IMAGE: EditArea
EDIT_AREA_MASK: EditArea

class GenerateRequest(_message.Message):
    __slots__ = ("prompt", "negative_prompt", "model", "style", "width", "height", "steps", "guidance_scale", "seed", "format", "text_overlay", "watermark", "preview_interval", "priority", "scheduler", "loras", "noise_canvas")
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
    scheduler: _drawing_pb2.Scheduler
    loras: _containers.RepeatedCompositeFieldContainer[_drawing_pb2.LoraWeight]
    noise_canvas: _image_pb2.Size
    def __init__(self, prompt: _Optional[str] = ..., negative_prompt: _Optional[str] = ..., model: _Optional[str] = ..., style: _Optional[_Union[_model_pb2.ModelStyle, str]] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., steps: _Optional[int] = ..., guidance_scale: _Optional[float] = ..., seed: _Optional[int] = ..., format: _Optional[_Union[_image_pb2.ImageFormat, str]] = ..., text_overlay: _Optional[_Union[_finishing_pb2.TextOverlay, _Mapping]] = ..., watermark: _Optional[_Union[_finishing_pb2.Watermark, _Mapping]] = ..., preview_interval: _Optional[int] = ..., priority: _Optional[int] = ..., scheduler: _Optional[_Union[_drawing_pb2.Scheduler, str]] = ..., loras: _Optional[_Iterable[_Union[_drawing_pb2.LoraWeight, _Mapping]]] = ..., noise_canvas: _Optional[_Union[_image_pb2.Size, _Mapping]] = ...) -> None: ...

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

class EditRequest(_message.Message):
    __slots__ = ("spec", "chunk")
    SPEC_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    spec: EditSpec
    chunk: _image_pb2.ImageChunk
    def __init__(self, spec: _Optional[_Union[EditSpec, _Mapping]] = ..., chunk: _Optional[_Union[_image_pb2.ImageChunk, _Mapping]] = ...) -> None: ...

class EditSpec(_message.Message):
    __slots__ = ("prompt", "negative_prompt", "model", "style", "width", "height", "steps", "guidance_scale", "seed", "format", "text_overlay", "watermark", "preview_interval", "priority", "scheduler", "loras", "noise_canvas", "image_data", "mask_data", "strength", "area", "mask_padding")
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
    SCHEDULER_FIELD_NUMBER: _ClassVar[int]
    LORAS_FIELD_NUMBER: _ClassVar[int]
    NOISE_CANVAS_FIELD_NUMBER: _ClassVar[int]
    IMAGE_DATA_FIELD_NUMBER: _ClassVar[int]
    MASK_DATA_FIELD_NUMBER: _ClassVar[int]
    STRENGTH_FIELD_NUMBER: _ClassVar[int]
    AREA_FIELD_NUMBER: _ClassVar[int]
    MASK_PADDING_FIELD_NUMBER: _ClassVar[int]
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
    scheduler: _drawing_pb2.Scheduler
    loras: _containers.RepeatedCompositeFieldContainer[_drawing_pb2.LoraWeight]
    noise_canvas: _image_pb2.Size
    image_data: bytes
    mask_data: bytes
    strength: float
    area: EditArea
    mask_padding: int
    def __init__(self, prompt: _Optional[str] = ..., negative_prompt: _Optional[str] = ..., model: _Optional[str] = ..., style: _Optional[_Union[_model_pb2.ModelStyle, str]] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., steps: _Optional[int] = ..., guidance_scale: _Optional[float] = ..., seed: _Optional[int] = ..., format: _Optional[_Union[_image_pb2.ImageFormat, str]] = ..., text_overlay: _Optional[_Union[_finishing_pb2.TextOverlay, _Mapping]] = ..., watermark: _Optional[_Union[_finishing_pb2.Watermark, _Mapping]] = ..., preview_interval: _Optional[int] = ..., priority: _Optional[int] = ..., scheduler: _Optional[_Union[_drawing_pb2.Scheduler, str]] = ..., loras: _Optional[_Iterable[_Union[_drawing_pb2.LoraWeight, _Mapping]]] = ..., noise_canvas: _Optional[_Union[_image_pb2.Size, _Mapping]] = ..., image_data: _Optional[bytes] = ..., mask_data: _Optional[bytes] = ..., strength: _Optional[float] = ..., area: _Optional[_Union[EditArea, str]] = ..., mask_padding: _Optional[int] = ...) -> None: ...

class EditResponse(_message.Message):
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
    __slots__ = ("image_data", "image_index", "format", "width", "height", "seed", "model", "steps", "guidance_scale", "moderation", "timings", "credentials", "provenance")
    IMAGE_DATA_FIELD_NUMBER: _ClassVar[int]
    IMAGE_INDEX_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    GUIDANCE_SCALE_FIELD_NUMBER: _ClassVar[int]
    MODERATION_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    CREDENTIALS_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_FIELD_NUMBER: _ClassVar[int]
    image_data: bytes
    image_index: int
    format: _image_pb2.ImageFormat
    width: int
    height: int
    seed: int
    model: str
    steps: int
    guidance_scale: float
    moderation: _finishing_pb2.Moderation
    timings: GenerateTimings
    credentials: _credentials_pb2.Credentials
    provenance: _credentials_pb2.Provenance
    def __init__(self, image_data: _Optional[bytes] = ..., image_index: _Optional[int] = ..., format: _Optional[_Union[_image_pb2.ImageFormat, str]] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., seed: _Optional[int] = ..., model: _Optional[str] = ..., steps: _Optional[int] = ..., guidance_scale: _Optional[float] = ..., moderation: _Optional[_Union[_finishing_pb2.Moderation, _Mapping]] = ..., timings: _Optional[_Union[GenerateTimings, _Mapping]] = ..., credentials: _Optional[_Union[_credentials_pb2.Credentials, _Mapping]] = ..., provenance: _Optional[_Union[_credentials_pb2.Provenance, _Mapping]] = ...) -> None: ...

class GenerateTimings(_message.Message):
    __slots__ = ("queued_ms", "waiting_for_vram_ms", "loading_ms", "encoding_ms", "denoising_ms", "decoding_ms", "finishing_ms")
    QUEUED_MS_FIELD_NUMBER: _ClassVar[int]
    WAITING_FOR_VRAM_MS_FIELD_NUMBER: _ClassVar[int]
    LOADING_MS_FIELD_NUMBER: _ClassVar[int]
    ENCODING_MS_FIELD_NUMBER: _ClassVar[int]
    DENOISING_MS_FIELD_NUMBER: _ClassVar[int]
    DECODING_MS_FIELD_NUMBER: _ClassVar[int]
    FINISHING_MS_FIELD_NUMBER: _ClassVar[int]
    queued_ms: float
    waiting_for_vram_ms: float
    loading_ms: float
    encoding_ms: float
    denoising_ms: float
    decoding_ms: float
    finishing_ms: float
    def __init__(self, queued_ms: _Optional[float] = ..., waiting_for_vram_ms: _Optional[float] = ..., loading_ms: _Optional[float] = ..., encoding_ms: _Optional[float] = ..., denoising_ms: _Optional[float] = ..., decoding_ms: _Optional[float] = ..., finishing_ms: _Optional[float] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models",)
    MODELS_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[Model]
    def __init__(self, models: _Optional[_Iterable[_Union[Model, _Mapping]]] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("name", "styles", "description", "source", "license", "loaded", "weight_bytes", "is_default", "default_steps", "default_guidance_scale", "base_sizes", "max_upscale", "dtype", "schedulers", "loras", "edits")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STYLES_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    LICENSE_FIELD_NUMBER: _ClassVar[int]
    LOADED_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_BYTES_FIELD_NUMBER: _ClassVar[int]
    IS_DEFAULT_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_STEPS_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_GUIDANCE_SCALE_FIELD_NUMBER: _ClassVar[int]
    BASE_SIZES_FIELD_NUMBER: _ClassVar[int]
    MAX_UPSCALE_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    SCHEDULERS_FIELD_NUMBER: _ClassVar[int]
    LORAS_FIELD_NUMBER: _ClassVar[int]
    EDITS_FIELD_NUMBER: _ClassVar[int]
    name: str
    styles: _containers.RepeatedScalarFieldContainer[_model_pb2.ModelStyle]
    description: str
    source: str
    license: str
    loaded: bool
    weight_bytes: int
    is_default: bool
    default_steps: int
    default_guidance_scale: float
    base_sizes: _containers.RepeatedCompositeFieldContainer[_image_pb2.Size]
    max_upscale: float
    dtype: str
    schedulers: _containers.RepeatedScalarFieldContainer[_drawing_pb2.Scheduler]
    loras: _containers.RepeatedCompositeFieldContainer[Lora]
    edits: bool
    def __init__(self, name: _Optional[str] = ..., styles: _Optional[_Iterable[_Union[_model_pb2.ModelStyle, str]]] = ..., description: _Optional[str] = ..., source: _Optional[str] = ..., license: _Optional[str] = ..., loaded: _Optional[bool] = ..., weight_bytes: _Optional[int] = ..., is_default: _Optional[bool] = ..., default_steps: _Optional[int] = ..., default_guidance_scale: _Optional[float] = ..., base_sizes: _Optional[_Iterable[_Union[_image_pb2.Size, _Mapping]]] = ..., max_upscale: _Optional[float] = ..., dtype: _Optional[str] = ..., schedulers: _Optional[_Iterable[_Union[_drawing_pb2.Scheduler, str]]] = ..., loras: _Optional[_Iterable[_Union[Lora, _Mapping]]] = ..., edits: _Optional[bool] = ...) -> None: ...

class Lora(_message.Message):
    __slots__ = ("name", "description", "license", "loaded")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    LICENSE_FIELD_NUMBER: _ClassVar[int]
    LOADED_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    license: str
    loaded: bool
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., license: _Optional[str] = ..., loaded: _Optional[bool] = ...) -> None: ...
