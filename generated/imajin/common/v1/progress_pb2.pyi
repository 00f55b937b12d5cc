import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Progress(_message.Message):
    __slots__ = ("queued", "waiting_for_vram", "loading_model", "encoding_prompt", "denoising", "decoding", "finishing", "analyzing_sizes", "detecting_focal_point", "cropping", "processing", "fraction", "eta", "base", "bases")
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    WAITING_FOR_VRAM_FIELD_NUMBER: _ClassVar[int]
    LOADING_MODEL_FIELD_NUMBER: _ClassVar[int]
    ENCODING_PROMPT_FIELD_NUMBER: _ClassVar[int]
    DENOISING_FIELD_NUMBER: _ClassVar[int]
    DECODING_FIELD_NUMBER: _ClassVar[int]
    FINISHING_FIELD_NUMBER: _ClassVar[int]
    ANALYZING_SIZES_FIELD_NUMBER: _ClassVar[int]
    DETECTING_FOCAL_POINT_FIELD_NUMBER: _ClassVar[int]
    CROPPING_FIELD_NUMBER: _ClassVar[int]
    PROCESSING_FIELD_NUMBER: _ClassVar[int]
    FRACTION_FIELD_NUMBER: _ClassVar[int]
    ETA_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    BASES_FIELD_NUMBER: _ClassVar[int]
    queued: Queued
    waiting_for_vram: WaitingForVram
    loading_model: LoadingModel
    encoding_prompt: EncodingPrompt
    denoising: Denoising
    decoding: Decoding
    finishing: Finishing
    analyzing_sizes: AnalyzingSizes
    detecting_focal_point: DetectingFocalPoint
    cropping: Cropping
    processing: Processing
    fraction: float
    eta: _duration_pb2.Duration
    base: int
    bases: int
    def __init__(self, queued: _Optional[_Union[Queued, _Mapping]] = ..., waiting_for_vram: _Optional[_Union[WaitingForVram, _Mapping]] = ..., loading_model: _Optional[_Union[LoadingModel, _Mapping]] = ..., encoding_prompt: _Optional[_Union[EncodingPrompt, _Mapping]] = ..., denoising: _Optional[_Union[Denoising, _Mapping]] = ..., decoding: _Optional[_Union[Decoding, _Mapping]] = ..., finishing: _Optional[_Union[Finishing, _Mapping]] = ..., analyzing_sizes: _Optional[_Union[AnalyzingSizes, _Mapping]] = ..., detecting_focal_point: _Optional[_Union[DetectingFocalPoint, _Mapping]] = ..., cropping: _Optional[_Union[Cropping, _Mapping]] = ..., processing: _Optional[_Union[Processing, _Mapping]] = ..., fraction: _Optional[float] = ..., eta: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., base: _Optional[int] = ..., bases: _Optional[int] = ...) -> None: ...

class Queued(_message.Message):
    __slots__ = ("position",)
    POSITION_FIELD_NUMBER: _ClassVar[int]
    position: int
    def __init__(self, position: _Optional[int] = ...) -> None: ...

class WaitingForVram(_message.Message):
    __slots__ = ("requested_bytes", "available_bytes", "position")
    REQUESTED_BYTES_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_BYTES_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    requested_bytes: int
    available_bytes: int
    position: int
    def __init__(self, requested_bytes: _Optional[int] = ..., available_bytes: _Optional[int] = ..., position: _Optional[int] = ...) -> None: ...

class LoadingModel(_message.Message):
    __slots__ = ("model", "loaded_bytes", "total_bytes")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    LOADED_BYTES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    model: str
    loaded_bytes: int
    total_bytes: int
    def __init__(self, model: _Optional[str] = ..., loaded_bytes: _Optional[int] = ..., total_bytes: _Optional[int] = ...) -> None: ...

class EncodingPrompt(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Denoising(_message.Message):
    __slots__ = ("step", "total_steps")
    STEP_FIELD_NUMBER: _ClassVar[int]
    TOTAL_STEPS_FIELD_NUMBER: _ClassVar[int]
    step: int
    total_steps: int
    def __init__(self, step: _Optional[int] = ..., total_steps: _Optional[int] = ...) -> None: ...

class Decoding(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Finishing(_message.Message):
    __slots__ = ("operation",)
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    operation: str
    def __init__(self, operation: _Optional[str] = ...) -> None: ...

class AnalyzingSizes(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DetectingFocalPoint(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Cropping(_message.Message):
    __slots__ = ("done", "total")
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    done: int
    total: int
    def __init__(self, done: _Optional[int] = ..., total: _Optional[int] = ...) -> None: ...

class Processing(_message.Message):
    __slots__ = ("done", "total")
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    done: int
    total: int
    def __init__(self, done: _Optional[int] = ..., total: _Optional[int] = ...) -> None: ...
