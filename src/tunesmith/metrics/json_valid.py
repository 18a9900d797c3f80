"""JSON validity: the share of answers that are JSON (RFC 8259) from end to end and, if asked, keep a schema."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from tunesmith.errors import MissingDependency, UserError
from tunesmith.metrics import Need, Proportion
from tunesmith.metrics._json import NOTHING, parse
from tunesmith.records import Prediction


class JsonValid(Proportion):
    """Share of answers that are JSON."""

    needs: ClassVar[frozenset[Need]] = frozenset({"text"})
    json_schema: dict[str, Any] | None = None
    """A JSON Schema that answers must keep too; takes the package jsonschema."""
    fenced: bool = False
    """Whether JSON between fences (three backticks) is taken out of them first."""

    @property
    def name(self) -> str:
        """A schema is too long for a name."""
        return "json_valid" + ("(json_schema)" if self.json_schema is not None else "")

    def scores(self, predictions: Sequence[Prediction]) -> list[float]:
        keeps = self._keeps()
        values = [parse(row.output, self.fenced) for row in predictions]
        return [float(value is not NOTHING and keeps(value)) for value in values]

    def _keeps(self) -> Callable[[Any], bool]:
        """Whether a value keeps the schema.

        Raises:
            MissingDependency: jsonschema is not installed.
            UserError: the schema is none.
        """
        if self.json_schema is None:
            return lambda value: True
        try:
            import jsonschema
        except ImportError:
            raise MissingDependency("jsonschema", extra="schema", needed_by="json_valid.json_schema") from None
        kind = jsonschema.validators.validator_for(self.json_schema)
        try:
            kind.check_schema(self.json_schema)
        except jsonschema.SchemaError as error:
            raise UserError(
                f"this is no JSON Schema: {error.message}", where="json_valid.json_schema", fix="mend the schema"
            ) from error
        keeps: Callable[[Any], bool] = kind(self.json_schema).is_valid
        return keeps
