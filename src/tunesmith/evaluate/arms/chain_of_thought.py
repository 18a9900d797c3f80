"""A model that is asked to think aloud before it answers (Kojima et al., arXiv 2205.11916)."""

from __future__ import annotations

from pydantic import Field

from tunesmith.evaluate.arms import Asking, Bench, Wordy
from tunesmith.evaluate.predict.reading import MARK, final_answer
from tunesmith.records import Prediction

ENDING = f"\n\nThink step by step. Then write the answer on a line of its own that begins with `{MARK}`."


class ChainOfThought(Wordy):
    """The base, asked to reason first; only what it names as its answer is measured."""

    ending: str = Field(default=ENDING, min_length=1)
    """What is put after the question. The answer is what follows the last `Answer:`, or else the last line."""
    max_new_tokens: int = Field(default=256, ge=8)
    """The longest reasoning with its answer."""

    def answer(self, bench: Bench) -> list[Prediction]:
        named: list[bool] = []

        def read(said: str) -> str:
            named.append(MARK.lower() in said.lower())
            return final_answer(said)

        asking = Asking(ending=self.ending, read=read, max_new_tokens=self.max_new_tokens)
        made = bench.ask(self.model, bench.rows, asking)
        bench.note(named_an_answer=sum(named), rows=len(named))
        return made
