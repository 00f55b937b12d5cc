from imajin.common.v1 import image_pb2 as _image_pb2
from imajin.common.v1 import model_pb2 as _model_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Aspect(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ASPECT_UNSPECIFIED: _ClassVar[Aspect]
    ASPECT_LANDSCAPE: _ClassVar[Aspect]
    ASPECT_SQUARE: _ClassVar[Aspect]
    ASPECT_PORTRAIT: _ClassVar[Aspect]

class ModerationLevel(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODERATION_LEVEL_UNSPECIFIED: _ClassVar[ModerationLevel]
    MODERATION_LEVEL_RELAXED: _ClassVar[ModerationLevel]
    MODERATION_LEVEL_STANDARD: _ClassVar[ModerationLevel]
    MODERATION_LEVEL_STRICT: _ClassVar[ModerationLevel]
ASPECT_UNSPECIFIED: Aspect
ASPECT_LANDSCAPE: Aspect
ASPECT_SQUARE: Aspect
ASPECT_PORTRAIT: Aspect
MODERATION_LEVEL_UNSPECIFIED: ModerationLevel
MODERATION_LEVEL_RELAXED: ModerationLevel
MODERATION_LEVEL_STANDARD: ModerationLevel
MODERATION_LEVEL_STRICT: ModerationLevel

class AnalyzeContextRequest(_message.Message):
    __slots__ = ("description", "category", "filters", "locale", "count", "sizes", "seed")
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    FILTERS_FIELD_NUMBER: _ClassVar[int]
    LOCALE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    SIZES_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    description: str
    category: str
    filters: Filters
    locale: str
    count: int
    sizes: _containers.RepeatedScalarFieldContainer[str]
    seed: int
    def __init__(self, description: _Optional[str] = ..., category: _Optional[str] = ..., filters: _Optional[_Union[Filters, _Mapping]] = ..., locale: _Optional[str] = ..., count: _Optional[int] = ..., sizes: _Optional[_Iterable[str]] = ..., seed: _Optional[int] = ...) -> None: ...

class StreamAnalyzeContextRequest(_message.Message):
    __slots__ = ("description", "category", "filters", "locale", "count", "sizes", "seed")
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    FILTERS_FIELD_NUMBER: _ClassVar[int]
    LOCALE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    SIZES_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    description: str
    category: str
    filters: Filters
    locale: str
    count: int
    sizes: _containers.RepeatedScalarFieldContainer[str]
    seed: int
    def __init__(self, description: _Optional[str] = ..., category: _Optional[str] = ..., filters: _Optional[_Union[Filters, _Mapping]] = ..., locale: _Optional[str] = ..., count: _Optional[int] = ..., sizes: _Optional[_Iterable[str]] = ..., seed: _Optional[int] = ...) -> None: ...

class Filters(_message.Message):
    __slots__ = ("region", "period", "season", "style", "audience", "subjects", "tags")
    REGION_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    SEASON_FIELD_NUMBER: _ClassVar[int]
    STYLE_FIELD_NUMBER: _ClassVar[int]
    AUDIENCE_FIELD_NUMBER: _ClassVar[int]
    SUBJECTS_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    region: str
    period: str
    season: str
    style: str
    audience: str
    subjects: Subjects
    tags: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, region: _Optional[str] = ..., period: _Optional[str] = ..., season: _Optional[str] = ..., style: _Optional[str] = ..., audience: _Optional[str] = ..., subjects: _Optional[_Union[Subjects, _Mapping]] = ..., tags: _Optional[_Iterable[str]] = ...) -> None: ...

class Subjects(_message.Message):
    __slots__ = ("age", "gender")
    AGE_FIELD_NUMBER: _ClassVar[int]
    GENDER_FIELD_NUMBER: _ClassVar[int]
    age: str
    gender: str
    def __init__(self, age: _Optional[str] = ..., gender: _Optional[str] = ...) -> None: ...

class AnalyzeContextResponse(_message.Message):
    __slots__ = ("generation_config", "prompts", "classification", "reasoning", "engine", "classification_ms", "reasoning_ms")
    GENERATION_CONFIG_FIELD_NUMBER: _ClassVar[int]
    PROMPTS_FIELD_NUMBER: _ClassVar[int]
    CLASSIFICATION_FIELD_NUMBER: _ClassVar[int]
    REASONING_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    CLASSIFICATION_MS_FIELD_NUMBER: _ClassVar[int]
    REASONING_MS_FIELD_NUMBER: _ClassVar[int]
    generation_config: GenerationConfig
    prompts: _containers.RepeatedCompositeFieldContainer[ParsedPrompt]
    classification: CulturalClassification
    reasoning: str
    engine: Engine
    classification_ms: float
    reasoning_ms: float
    def __init__(self, generation_config: _Optional[_Union[GenerationConfig, _Mapping]] = ..., prompts: _Optional[_Iterable[_Union[ParsedPrompt, _Mapping]]] = ..., classification: _Optional[_Union[CulturalClassification, _Mapping]] = ..., reasoning: _Optional[str] = ..., engine: _Optional[_Union[Engine, _Mapping]] = ..., classification_ms: _Optional[float] = ..., reasoning_ms: _Optional[float] = ...) -> None: ...

class StreamAnalyzeContextResponse(_message.Message):
    __slots__ = ("classification", "reasoning_delta", "prompt", "result")
    CLASSIFICATION_FIELD_NUMBER: _ClassVar[int]
    REASONING_DELTA_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    classification: CulturalClassification
    reasoning_delta: str
    prompt: ParsedPrompt
    result: AnalyzeContextResponse
    def __init__(self, classification: _Optional[_Union[CulturalClassification, _Mapping]] = ..., reasoning_delta: _Optional[str] = ..., prompt: _Optional[_Union[ParsedPrompt, _Mapping]] = ..., result: _Optional[_Union[AnalyzeContextResponse, _Mapping]] = ...) -> None: ...

class GenerationConfig(_message.Message):
    __slots__ = ("style", "aspect", "size", "steps", "guidance_scale", "seed", "culture", "moderation_level")
    STYLE_FIELD_NUMBER: _ClassVar[int]
    ASPECT_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    GUIDANCE_SCALE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    CULTURE_FIELD_NUMBER: _ClassVar[int]
    MODERATION_LEVEL_FIELD_NUMBER: _ClassVar[int]
    style: _model_pb2.ModelStyle
    aspect: Aspect
    size: _image_pb2.Size
    steps: int
    guidance_scale: float
    seed: int
    culture: str
    moderation_level: ModerationLevel
    def __init__(self, style: _Optional[_Union[_model_pb2.ModelStyle, str]] = ..., aspect: _Optional[_Union[Aspect, str]] = ..., size: _Optional[_Union[_image_pb2.Size, _Mapping]] = ..., steps: _Optional[int] = ..., guidance_scale: _Optional[float] = ..., seed: _Optional[int] = ..., culture: _Optional[str] = ..., moderation_level: _Optional[_Union[ModerationLevel, str]] = ...) -> None: ...

class ParsedPrompt(_message.Message):
    __slots__ = ("name", "prompt", "negative_prompt")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_PROMPT_FIELD_NUMBER: _ClassVar[int]
    name: str
    prompt: str
    negative_prompt: str
    def __init__(self, name: _Optional[str] = ..., prompt: _Optional[str] = ..., negative_prompt: _Optional[str] = ...) -> None: ...

class CulturalClassification(_message.Message):
    __slots__ = ("cultures", "occasions", "attire", "food", "places", "periods", "avoid", "evidence", "languages")
    CULTURES_FIELD_NUMBER: _ClassVar[int]
    OCCASIONS_FIELD_NUMBER: _ClassVar[int]
    ATTIRE_FIELD_NUMBER: _ClassVar[int]
    FOOD_FIELD_NUMBER: _ClassVar[int]
    PLACES_FIELD_NUMBER: _ClassVar[int]
    PERIODS_FIELD_NUMBER: _ClassVar[int]
    AVOID_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    LANGUAGES_FIELD_NUMBER: _ClassVar[int]
    cultures: _containers.RepeatedCompositeFieldContainer[Culture]
    occasions: _containers.RepeatedScalarFieldContainer[str]
    attire: _containers.RepeatedScalarFieldContainer[str]
    food: _containers.RepeatedScalarFieldContainer[str]
    places: _containers.RepeatedScalarFieldContainer[str]
    periods: _containers.RepeatedScalarFieldContainer[str]
    avoid: _containers.RepeatedScalarFieldContainer[str]
    evidence: _containers.RepeatedCompositeFieldContainer[Evidence]
    languages: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, cultures: _Optional[_Iterable[_Union[Culture, _Mapping]]] = ..., occasions: _Optional[_Iterable[str]] = ..., attire: _Optional[_Iterable[str]] = ..., food: _Optional[_Iterable[str]] = ..., places: _Optional[_Iterable[str]] = ..., periods: _Optional[_Iterable[str]] = ..., avoid: _Optional[_Iterable[str]] = ..., evidence: _Optional[_Iterable[_Union[Evidence, _Mapping]]] = ..., languages: _Optional[_Iterable[str]] = ...) -> None: ...

class Culture(_message.Message):
    __slots__ = ("name", "display_name", "confidence", "territories")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    TERRITORIES_FIELD_NUMBER: _ClassVar[int]
    name: str
    display_name: str
    confidence: float
    territories: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., display_name: _Optional[str] = ..., confidence: _Optional[float] = ..., territories: _Optional[_Iterable[str]] = ...) -> None: ...

class Evidence(_message.Message):
    __slots__ = ("words", "rule", "culture", "weight")
    WORDS_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    CULTURE_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    words: str
    rule: str
    culture: str
    weight: float
    def __init__(self, words: _Optional[str] = ..., rule: _Optional[str] = ..., culture: _Optional[str] = ..., weight: _Optional[float] = ...) -> None: ...

class Engine(_message.Message):
    __slots__ = ("name", "model", "completion_tokens")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    name: str
    model: str
    completion_tokens: int
    def __init__(self, name: _Optional[str] = ..., model: _Optional[str] = ..., completion_tokens: _Optional[int] = ...) -> None: ...
