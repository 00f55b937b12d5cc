"""Models like DeepSeek-R1 think aloud between <think> and </think> before they answer."""

from __future__ import annotations

from collections.abc import Iterator

from imajin_servers.prompt.reasoning.engine import Thought, Written

BEGIN, END = "<think>", "</think>"


class Splitter:
    """Parts a stream of text into thoughts and answer; a mark may come in pieces.

    `thinking` says that the text begins inside of a thought: chat templates of such models open the mark themselves.
    """

    def __init__(self, *, thinking: bool = False) -> None:
        self.thinking = thinking
        self.held = ""

    def add(self, text: str) -> Iterator[Thought | Written]:
        """The parts that `text` completes; the end of it is held back while it may be the beginning of a mark."""
        self.held += text
        while True:
            mark = END if self.thinking else BEGIN
            before, found, after = self.held.partition(mark)
            if found:
                yield from self.part(before)
                self.thinking = not self.thinking
                self.held = after
                continue
            kept = next((size for size in range(len(mark) - 1, 0, -1) if self.held.endswith(mark[:size])), 0)
            sure = len(self.held) - kept
            yield from self.part(self.held[:sure])
            self.held = self.held[sure:]
            return

    def end(self) -> Iterator[Thought | Written]:
        """What was held back."""
        yield from self.part(self.held)
        self.held = ""

    def part(self, text: str) -> Iterator[Thought | Written]:
        """`text` as what it is; nothing for nothing."""
        if text:
            yield Thought(text) if self.thinking else Written(text)
