"""From a description to prompts: what the prompt server finds and writes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import TypedDict, TypeVar, Unpack

from imajin.common.v1 import model_pb2
from imajin.prompt.v1 import prompt_pb2
from imajin_client.calls import Calls, Stream
from imajin_client.filled import filled
from imajin_client.names import word


class DescribeOptions(TypedDict, total=False):
    """What may be known beside the description. Free text, matched against the classifier's data."""

    count: int
    """How many prompts to write, 1 to 8; 3 when absent."""
    category: str
    """Kind of picture or of page, such as `food`."""
    locale: str
    """BCP 47 tag of the reader, such as `de-AT`."""
    region: str
    """Region, country or people, such as `japan`."""
    period: str
    """Period, such as `edo period`."""
    season: str
    """Season, such as `autumn`."""
    style: str
    """Style, such as `photorealistic` or `watercolor`."""
    audience: str
    """Who will see it, such as `children`."""
    age: str
    """Age of the people in the picture, such as `elderly`."""
    gender: str
    """Gender of the people in the picture, such as `woman`."""
    tags: Sequence[str]
    """Free tags, at most 32."""
    sizes: Sequence[str]
    """Sizes that the picture is needed in: they decide the aspect."""
    seed: int | None
    """Seed of the reasoning; random when absent."""


RequestT = TypeVar("RequestT", prompt_pb2.AnalyzeContextRequest, prompt_pb2.StreamAnalyzeContextRequest)


def request(
    kind: type[RequestT],
    description: str,
    *,
    count: int = 0,
    category: str = "",
    locale: str = "",
    region: str = "",
    period: str = "",
    season: str = "",
    style: str = "",
    audience: str = "",
    age: str = "",
    gender: str = "",
    tags: Sequence[str] = (),
    sizes: Sequence[str] = (),
    seed: int | None = None,
) -> RequestT:
    """The contract's message of a description with DescribeOptions: for one answer, or for a stream."""
    filters = filled(
        prompt_pb2.Filters, region=region, period=period, season=season, style=style, audience=audience, tags=list(tags)
    )
    if age or gender:
        filters.subjects.age, filters.subjects.gender = age, gender
    return filled(
        kind,
        description=description,
        category=category,
        filters=filters,
        locale=locale,
        count=count,
        sizes=list(sizes),
        seed=seed,
    )


@dataclass(frozen=True)
class Culture:
    """A culture or region that the description points to."""

    name: str
    display_name: str
    confidence: float
    """0 to 1."""
    territories: tuple[str, ...]
    """ISO 3166-1 alpha-2 or UN M.49 codes."""


@dataclass(frozen=True)
class Evidence:
    """One word that counted, the rule that it met, and what for."""

    words: str
    rule: str
    culture: str
    weight: float


@dataclass(frozen=True)
class Classification:
    """What the rules found in the description."""

    cultures: tuple[Culture, ...]
    """Most likely first."""
    occasions: tuple[str, ...]
    attire: tuple[str, ...]
    food: tuple[str, ...]
    places: tuple[str, ...]
    periods: tuple[str, ...]
    avoid: tuple[str, ...]
    """What to avoid, most important first."""
    evidence: tuple[Evidence, ...]
    languages: tuple[str, ...]
    """BCP 47 tags, most likely first."""

    @classmethod
    def from_proto(cls, found: prompt_pb2.CulturalClassification) -> Classification:
        """From the contract's message."""
        return cls(
            cultures=tuple(
                Culture(item.name, item.display_name, item.confidence, tuple(item.territories))
                for item in found.cultures
            ),
            occasions=tuple(found.occasions),
            attire=tuple(found.attire),
            food=tuple(found.food),
            places=tuple(found.places),
            periods=tuple(found.periods),
            avoid=tuple(found.avoid),
            evidence=tuple(Evidence(item.words, item.rule, item.culture, item.weight) for item in found.evidence),
            languages=tuple(found.languages),
        )


@dataclass(frozen=True)
class Reasoning:
    """Text to append to the reasoning so far."""

    text: str


@dataclass(frozen=True)
class Prompt:
    """One prompt, ready for an image model."""

    name: str
    prompt: str
    negative_prompt: str

    @classmethod
    def from_proto(cls, parsed: prompt_pb2.ParsedPrompt) -> Prompt:
        """From the contract's message."""
        return cls(parsed.name, parsed.prompt, parsed.negative_prompt)


@dataclass(frozen=True)
class Config:
    """How to generate the picture."""

    style: str
    """`photorealistic`, `anime`, or empty for the server's default."""
    aspect: str
    """`landscape`, `square`, `portrait`, or empty."""
    width: int
    """In pixels, for a model that draws any size."""
    height: int
    steps: int
    guidance_scale: float
    seed: int | None
    culture: str
    moderation_level: str
    """`relaxed`, `standard`, `strict`, or empty for the server's default."""


@dataclass(frozen=True)
class Description:
    """A complete analysis: what the rules found, what the language model wrote, and how to generate."""

    classification: Classification
    prompts: tuple[Prompt, ...]
    config: Config
    reasoning: str
    engine: str
    """`embedded`, `openai` or `vllm`."""
    engine_model: str
    completion_tokens: int
    classification_ms: float
    reasoning_ms: float

    @classmethod
    def from_proto(cls, answer: prompt_pb2.AnalyzeContextResponse) -> Description:
        """From the contract's message."""
        config = answer.generation_config
        return cls(
            classification=Classification.from_proto(answer.classification),
            prompts=tuple(Prompt.from_proto(item) for item in answer.prompts),
            config=Config(
                style=word(model_pb2.ModelStyle, config.style),
                aspect=word(prompt_pb2.Aspect, config.aspect),
                width=config.size.width,
                height=config.size.height,
                steps=config.steps,
                guidance_scale=config.guidance_scale,
                seed=config.seed if config.HasField("seed") else None,
                culture=config.culture,
                moderation_level=word(prompt_pb2.ModerationLevel, config.moderation_level),
            ),
            reasoning=answer.reasoning,
            engine=answer.engine.name,
            engine_model=answer.engine.model,
            completion_tokens=answer.engine.completion_tokens,
            classification_ms=answer.classification_ms,
            reasoning_ms=answer.reasoning_ms,
        )


DescribeEvent = Classification | Reasoning | Prompt | Description
"""What `describe_stream` yields: the classification, reasoning and prompts as they come, then the whole Description."""


def event(answer: prompt_pb2.StreamAnalyzeContextResponse) -> DescribeEvent | None:
    """One event of the stream; None for one that this client does not know."""
    match answer.WhichOneof("event"):
        case "classification":
            return Classification.from_proto(answer.classification)
        case "reasoning_delta":
            return Reasoning(answer.reasoning_delta)
        case "prompt":
            return Prompt.from_proto(answer.prompt)
        case "result":
            return Description.from_proto(answer.result)
    return None


class Describing(Calls):
    """What the client asks the prompt server."""

    async def describe(
        self, description: str, *, timeout: float | None = 300, **options: Unpack[DescribeOptions]
    ) -> Description:
        """Turns a description into prompts: classification by rules, then reasoning. Raises LlmTimeout, LlmFailed."""
        asked = request(prompt_pb2.AnalyzeContextRequest, description, **options)
        call = self._wire.prompt.AnalyzeContext(asked, timeout=timeout)
        return Description.from_proto(await self._wire.one("prompt", call))

    def describe_stream(
        self, description: str, *, timeout: float | None = 300, **options: Unpack[DescribeOptions]
    ) -> Stream[DescribeEvent]:
        """The same as it happens: Classification, Reasoning and Prompt events, then the whole Description."""
        asked = request(prompt_pb2.StreamAnalyzeContextRequest, description, **options)
        return Stream(self._describe_stream(asked, timeout))

    async def _describe_stream(
        self, asked: prompt_pb2.StreamAnalyzeContextRequest, timeout: float | None
    ) -> AsyncGenerator[DescribeEvent, None]:
        call = self._wire.prompt.StreamAnalyzeContext(asked, timeout=timeout)
        async with self._wire.many("prompt", call) as answers:
            async for answer in answers:
                found = event(answer)
                if found is not None:
                    yield found
