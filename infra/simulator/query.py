"""The subscription query of a Tendermint node: conditions on event attributes, joined by AND.

Grammar (sei-tendermint, internal/pubsub/query/syntax): `tag op value {AND tag op value}` with the operators = < <= > >=
CONTAINS EXISTS. Values are 'quoted' or numbers; the node's TIME and DATE values are not simulated and do not parse.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from schemas.errors import ContractError

__all__ = ["Condition", "Query", "QueryError"]

_TOKEN = re.compile(
    r"\s*(?:(?P<tag>[A-Za-z_]\w*(?:\.\w+)*)|(?P<number>-?\d+(?:\.\d+)?)|'(?P<text>[^']*)'|(?P<op><=|>=|=|<|>))"
)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_COMPARISONS: dict[str, Callable[[Decimal, Decimal], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class QueryError(ContractError):
    """A query that does not parse; the text is the detail that the node gives."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition. `value` is None for EXISTS, a Decimal for a number."""

    tag: str
    op: str
    value: str | Decimal | None

    def matches(self, events: Mapping[str, Sequence[str]]) -> bool:
        """Say whether any value of the tag meets the condition."""
        values = events.get(self.tag)
        if values is None:
            return False
        wanted = self.value
        if wanted is None:
            return True
        if isinstance(wanted, str):
            return wanted in values if self.op == "=" else any(wanted in value for value in values)
        compare = _COMPARISONS[self.op]
        numbers = (_NUMBER.search(value) for value in values)
        return any(compare(Decimal(number.group()), wanted) for number in numbers if number)

    def __str__(self) -> str:
        if self.value is None:
            return f"{self.tag} {self.op}"
        return f"{self.tag} {self.op} " + (f"'{self.value}'" if isinstance(self.value, str) else str(self.value))


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed query; its text is normalised, so that two spellings of one query are one subscription."""

    conditions: tuple[Condition, ...]

    @classmethod
    def parse(cls, text: str) -> Query:
        """Parse a query.

        Raises:
            QueryError: it does not follow the grammar.
        """
        tokens = _tokens(text)
        conditions = []
        position = 0
        while True:
            condition, position = _condition(tokens, position)
            conditions.append(condition)
            if position == len(tokens):
                return cls(tuple(conditions))
            if tokens[position] != ("tag", "AND"):
                raise QueryError(f"got {tokens[position][1]!r}, wanted AND")
            position += 1

    def value(self, tag: str) -> str | None:
        """Give the text that a tag must equal, or None where the query does not say."""
        for condition in self.conditions:
            if condition.tag == tag and condition.op == "=" and isinstance(condition.value, str):
                return condition.value
        return None

    def matches(self, events: Mapping[str, Sequence[str]]) -> bool:
        """Say whether all conditions hold."""
        return all(condition.matches(events) for condition in self.conditions)

    def __str__(self) -> str:
        return " AND ".join(map(str, self.conditions))


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens, position, end = [], 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise QueryError(f"offset {position}: invalid character {text[position : position + 1]!r}")
        tokens.append((match.lastgroup, match.group(match.lastgroup)))
        position = match.end()
    return tokens


def _condition(tokens: list[tuple[str, str]], position: int) -> tuple[Condition, int]:
    kinds = [kind for kind, _ in tokens[position : position + 3]]
    values = [value for _, value in tokens[position : position + 3]]
    if not kinds or kinds[0] != "tag":
        raise QueryError(f"got {values[0]!r}, wanted tag" if kinds else "got EOF, wanted tag")
    if len(kinds) > 1 and kinds[1] == "tag" and values[1] == "EXISTS":
        return Condition(values[0], "EXISTS", None), position + 2
    if len(kinds) < 3:
        raise QueryError("got EOF, wanted operator and value")
    if kinds[1] == "tag" and values[1] == "CONTAINS" and kinds[2] == "text":
        return Condition(values[0], "CONTAINS", values[2]), position + 3
    if kinds[1] == "op" and kinds[2] == "number":
        return Condition(values[0], values[1], Decimal(values[2])), position + 3
    if kinds[1:] == ["op", "text"] and values[1] == "=":
        return Condition(values[0], "=", values[2]), position + 3
    raise QueryError(f"got {values[1]!r} {values[2]!r}, wanted operator and value")
