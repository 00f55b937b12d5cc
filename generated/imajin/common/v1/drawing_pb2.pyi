from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Scheduler(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SCHEDULER_UNSPECIFIED: _ClassVar[Scheduler]
    SCHEDULER_DDIM: _ClassVar[Scheduler]
    SCHEDULER_DDPM: _ClassVar[Scheduler]
    SCHEDULER_PNDM: _ClassVar[Scheduler]
    SCHEDULER_EULER: _ClassVar[Scheduler]
    SCHEDULER_EULER_KARRAS: _ClassVar[Scheduler]
    SCHEDULER_EULER_ANCESTRAL: _ClassVar[Scheduler]
    SCHEDULER_HEUN: _ClassVar[Scheduler]
    SCHEDULER_DPM2: _ClassVar[Scheduler]
    SCHEDULER_DPM2_ANCESTRAL: _ClassVar[Scheduler]
    SCHEDULER_DPMPP2M: _ClassVar[Scheduler]
    SCHEDULER_DPMPP2M_KARRAS: _ClassVar[Scheduler]
    SCHEDULER_DPMPP2M_SDE: _ClassVar[Scheduler]
    SCHEDULER_DPMPP2M_SDE_KARRAS: _ClassVar[Scheduler]
    SCHEDULER_UNIPC: _ClassVar[Scheduler]
    SCHEDULER_DEIS: _ClassVar[Scheduler]
    SCHEDULER_LCM: _ClassVar[Scheduler]
SCHEDULER_UNSPECIFIED: Scheduler
SCHEDULER_DDIM: Scheduler
SCHEDULER_DDPM: Scheduler
SCHEDULER_PNDM: Scheduler
SCHEDULER_EULER: Scheduler
SCHEDULER_EULER_KARRAS: Scheduler
SCHEDULER_EULER_ANCESTRAL: Scheduler
SCHEDULER_HEUN: Scheduler
SCHEDULER_DPM2: Scheduler
SCHEDULER_DPM2_ANCESTRAL: Scheduler
SCHEDULER_DPMPP2M: Scheduler
SCHEDULER_DPMPP2M_KARRAS: Scheduler
SCHEDULER_DPMPP2M_SDE: Scheduler
SCHEDULER_DPMPP2M_SDE_KARRAS: Scheduler
SCHEDULER_UNIPC: Scheduler
SCHEDULER_DEIS: Scheduler
SCHEDULER_LCM: Scheduler

class LoraWeight(_message.Message):
    __slots__ = ("name", "weight")
    NAME_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    name: str
    weight: float
    def __init__(self, name: _Optional[str] = ..., weight: _Optional[float] = ...) -> None: ...
