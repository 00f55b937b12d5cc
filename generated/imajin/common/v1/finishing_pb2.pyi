from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Anchor(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ANCHOR_UNSPECIFIED: _ClassVar[Anchor]
    ANCHOR_TOP_LEFT: _ClassVar[Anchor]
    ANCHOR_TOP: _ClassVar[Anchor]
    ANCHOR_TOP_RIGHT: _ClassVar[Anchor]
    ANCHOR_LEFT: _ClassVar[Anchor]
    ANCHOR_CENTER: _ClassVar[Anchor]
    ANCHOR_RIGHT: _ClassVar[Anchor]
    ANCHOR_BOTTOM_LEFT: _ClassVar[Anchor]
    ANCHOR_BOTTOM: _ClassVar[Anchor]
    ANCHOR_BOTTOM_RIGHT: _ClassVar[Anchor]
ANCHOR_UNSPECIFIED: Anchor
ANCHOR_TOP_LEFT: Anchor
ANCHOR_TOP: Anchor
ANCHOR_TOP_RIGHT: Anchor
ANCHOR_LEFT: Anchor
ANCHOR_CENTER: Anchor
ANCHOR_RIGHT: Anchor
ANCHOR_BOTTOM_LEFT: Anchor
ANCHOR_BOTTOM: Anchor
ANCHOR_BOTTOM_RIGHT: Anchor

class TextOverlay(_message.Message):
    __slots__ = ("text", "position", "size", "color", "stroke_color", "stroke_width")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    COLOR_FIELD_NUMBER: _ClassVar[int]
    STROKE_COLOR_FIELD_NUMBER: _ClassVar[int]
    STROKE_WIDTH_FIELD_NUMBER: _ClassVar[int]
    text: str
    position: Anchor
    size: float
    color: str
    stroke_color: str
    stroke_width: float
    def __init__(self, text: _Optional[str] = ..., position: _Optional[_Union[Anchor, str]] = ..., size: _Optional[float] = ..., color: _Optional[str] = ..., stroke_color: _Optional[str] = ..., stroke_width: _Optional[float] = ...) -> None: ...

class Watermark(_message.Message):
    __slots__ = ("text", "position", "opacity")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    OPACITY_FIELD_NUMBER: _ClassVar[int]
    text: str
    position: Anchor
    opacity: float
    def __init__(self, text: _Optional[str] = ..., position: _Optional[_Union[Anchor, str]] = ..., opacity: _Optional[float] = ...) -> None: ...

class Moderation(_message.Message):
    __slots__ = ("image_checked", "image_score", "threshold", "prompt_level")
    IMAGE_CHECKED_FIELD_NUMBER: _ClassVar[int]
    IMAGE_SCORE_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    PROMPT_LEVEL_FIELD_NUMBER: _ClassVar[int]
    image_checked: bool
    image_score: float
    threshold: float
    prompt_level: str
    def __init__(self, image_checked: _Optional[bool] = ..., image_score: _Optional[float] = ..., threshold: _Optional[float] = ..., prompt_level: _Optional[str] = ...) -> None: ...
