"""Messages in, the analysis, messages out."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import grpc

from imajin.common.v1 import image_pb2, model_pb2
from imajin.prompt.v1 import prompt_pb2, prompt_pb2_grpc
from imajin_servers.prompt.analysis import Analysis, Analyst, Event, Reasoning, Request
from imajin_servers.prompt.classification import Classification, Query
from imajin_servers.prompt.composition import Prompt
from imajin_servers.prompt.generation import Generation
from imajin_servers.runtime.errors import Internal

DEFAULT_COUNT = 3
# What the answer needs to reach the caller before its deadline ends the call.
MARGIN_SECONDS = 0.25
STYLES = {
    "photorealistic": model_pb2.MODEL_STYLE_PHOTOREALISTIC,
    "anime": model_pb2.MODEL_STYLE_ANIME,
}
ASPECTS = {
    "landscape": prompt_pb2.ASPECT_LANDSCAPE,
    "square": prompt_pb2.ASPECT_SQUARE,
    "portrait": prompt_pb2.ASPECT_PORTRAIT,
}
LEVELS = {
    "relaxed": prompt_pb2.MODERATION_LEVEL_RELAXED,
    "standard": prompt_pb2.MODERATION_LEVEL_STANDARD,
    "strict": prompt_pb2.MODERATION_LEVEL_STRICT,
}

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]
    Asked = prompt_pb2.AnalyzeContextRequest | prompt_pb2.StreamAnalyzeContextRequest


class PromptServicer(prompt_pb2_grpc.PromptServiceServicer):
    """Serves PromptService. `seconds` is the longest that the reasoning may take."""

    def __init__(self, analyst: Analyst, seconds: float) -> None:
        self.analyst = analyst
        self.seconds = seconds

    async def AnalyzeContext(
        self, request: prompt_pb2.AnalyzeContextRequest, context: Context
    ) -> prompt_pb2.AnalyzeContextResponse:
        """The analysis when all is written."""
        async with aclosing(self.events(request, context)) as events:
            async for event in events:
                if isinstance(event, Analysis):
                    return response_of(event)
        raise Internal("the analysis ended without a result")

    async def StreamAnalyzeContext(
        self, request: prompt_pb2.StreamAnalyzeContextRequest, context: Context
    ) -> AsyncGenerator[prompt_pb2.StreamAnalyzeContextResponse, None]:
        """The analysis as it happens."""
        async with aclosing(self.events(request, context)) as events:
            async for event in events:
                yield event_of(event)

    def events(self, request: Asked, context: Context) -> AsyncGenerator[Event, None]:
        """The one path of both calls."""
        left = context.time_remaining()
        seconds = self.seconds if left is None else min(self.seconds, max(left - MARGIN_SECONDS, left / 2))
        return self.analyst.analyze(request_of(request), seconds)


def request_of(message: Asked) -> Request:
    """The request of a message."""
    filters = message.filters
    return Request(
        query=Query(
            description=message.description or described(message),
            category=message.category,
            region=filters.region,
            period=filters.period,
            season=filters.season,
            style=filters.style,
            audience=filters.audience,
            tags=tuple(filters.tags),
            locale=message.locale,
        ),
        age=filters.subjects.age,
        gender=filters.subjects.gender,
        count=message.count or DEFAULT_COUNT,
        sizes=tuple(message.sizes),
        seed=message.seed if message.HasField("seed") else None,
    )


def described(message: Asked) -> str:
    """A description out of category, subjects and tags, for callers that give no other. Place and time reach the prompts anyway."""
    filters = message.filters
    person = " ".join(filter(None, (filters.subjects.age, filters.subjects.gender)))
    return ", ".join(filter(None, (person, message.category, *filters.tags)))


def event_of(event: Event) -> prompt_pb2.StreamAnalyzeContextResponse:
    """The message of an event."""
    match event:
        case Classification():
            return prompt_pb2.StreamAnalyzeContextResponse(classification=classification_of(event))
        case Reasoning():
            return prompt_pb2.StreamAnalyzeContextResponse(reasoning_delta=event.text)
        case Prompt():
            return prompt_pb2.StreamAnalyzeContextResponse(prompt=prompt_of(event))
        case Analysis():
            return prompt_pb2.StreamAnalyzeContextResponse(result=response_of(event))


def response_of(analysis: Analysis) -> prompt_pb2.AnalyzeContextResponse:
    """The message of a whole analysis."""
    return prompt_pb2.AnalyzeContextResponse(
        generation_config=config_of(analysis.generation),
        prompts=[prompt_of(prompt) for prompt in analysis.prompts],
        classification=classification_of(analysis.classification),
        reasoning=analysis.reasoning,
        engine=prompt_pb2.Engine(name=analysis.engine, model=analysis.model, completion_tokens=analysis.tokens),
        classification_ms=analysis.classification_ms,
        reasoning_ms=analysis.reasoning_ms,
    )


def prompt_of(prompt: Prompt) -> prompt_pb2.ParsedPrompt:
    """The message of a prompt."""
    return prompt_pb2.ParsedPrompt(name=prompt.name, prompt=prompt.prompt, negative_prompt=prompt.negative)


def config_of(generation: Generation) -> prompt_pb2.GenerationConfig:
    """The message of how to generate."""
    width, height = generation.size
    return prompt_pb2.GenerationConfig(
        style=STYLES[generation.style],
        aspect=ASPECTS[generation.aspect],
        size=image_pb2.Size(width=width, height=height),
        steps=generation.steps,
        guidance_scale=generation.guidance_scale,
        seed=generation.seed,
        culture=generation.culture,
        moderation_level=LEVELS[generation.moderation],
    )


def classification_of(found: Classification) -> prompt_pb2.CulturalClassification:
    """The message of what the rules found."""

    def names(kind: str) -> list[str]:
        return [feature.name for feature in found.of(kind)]

    return prompt_pb2.CulturalClassification(
        cultures=[
            prompt_pb2.Culture(
                name=culture.name,
                display_name=culture.display_name,
                confidence=culture.confidence,
                territories=culture.territories,
            )
            for culture in found.cultures
        ],
        occasions=names("occasions"),
        attire=names("attire"),
        food=names("food"),
        places=names("places"),
        periods=names("periods"),
        avoid=[avoidance.say for avoidance in found.avoid],
        evidence=[
            prompt_pb2.Evidence(words=one.words, rule=one.rule, culture=one.culture, weight=one.weight)
            for one in found.evidence
        ],
        languages=found.languages,
    )
