from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PageSpec(_message.Message):
    __slots__ = ("sizes", "alt", "url_prefix", "eager")
    SIZES_FIELD_NUMBER: _ClassVar[int]
    ALT_FIELD_NUMBER: _ClassVar[int]
    URL_PREFIX_FIELD_NUMBER: _ClassVar[int]
    EAGER_FIELD_NUMBER: _ClassVar[int]
    sizes: str
    alt: str
    url_prefix: str
    eager: bool
    def __init__(self, sizes: _Optional[str] = ..., alt: _Optional[str] = ..., url_prefix: _Optional[str] = ..., eager: _Optional[bool] = ...) -> None: ...

class Page(_message.Message):
    __slots__ = ("html", "sources", "src", "sizes", "width", "height")
    HTML_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    SRC_FIELD_NUMBER: _ClassVar[int]
    SIZES_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    html: str
    sources: _containers.RepeatedCompositeFieldContainer[PageSource]
    src: str
    sizes: str
    width: int
    height: int
    def __init__(self, html: _Optional[str] = ..., sources: _Optional[_Iterable[_Union[PageSource, _Mapping]]] = ..., src: _Optional[str] = ..., sizes: _Optional[str] = ..., width: _Optional[int] = ..., height: _Optional[int] = ...) -> None: ...

class PageSource(_message.Message):
    __slots__ = ("type", "srcset")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    SRCSET_FIELD_NUMBER: _ClassVar[int]
    type: str
    srcset: str
    def __init__(self, type: _Optional[str] = ..., srcset: _Optional[str] = ...) -> None: ...
