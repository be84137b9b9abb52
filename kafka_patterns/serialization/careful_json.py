"""The slow way to write JSON: every number as JavaScript does, every error with its place."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from kafka_patterns.errors import PayloadError
from kafka_patterns.serialization.json_forms import key_text
from kafka_patterns.serialization.scalars import json_number_text

__all__ = ["careful_text"]

_MAX_DEPTH = 1000
_MAX_PATH_STEPS = 12

_string_text = json.JSONEncoder(ensure_ascii=False).encode
_CONSTANTS: dict[Any, str] = {None: "null", True: "true", False: "false"}


def careful_text(value: Any, form: Callable[[Any], Any]) -> str:
    """Return *value* as JSON text; lone surrogates are left in it.

    :param form: brings an object one step nearer to JSON.
    :raises PayloadError: if a part of *value* has no JSON, contains itself, or lies more than
        1,000 levels deep.
    """
    return _Writing(form).text(value)


class _Container:
    """An object or array that is being written, and how far that has got."""

    __slots__ = ("_held", "closing", "identities", "items", "separator", "step")

    def __init__(self, content: dict[Any, Any] | list[Any] | tuple[Any, ...], origin: Any) -> None:
        self.items: Iterator[tuple[Any, Any]]
        if isinstance(content, dict):
            self.items, self.closing = iter(list(content.items())), "}"
        else:
            self.items, self.closing = enumerate(content), "]"
        # Both are held so that no other object gets their identity meanwhile.
        self._held = (content, origin)
        self.identities = {id(content), id(origin)}
        self.separator = ""
        self.step: Any = None

    @property
    def path_step(self) -> str:
        if self.closing == "]":
            return f"[{self.step}]"
        if isinstance(self.step, str) and self.step.isidentifier():
            return f".{self.step}"
        return f"[{self.step!r:.40}]"


class _Writing:
    """One run of the writer; it keeps its own stack, so that no depth is too deep for it."""

    def __init__(self, form: Callable[[Any], Any]) -> None:
        self._form = form
        self._pieces: list[str] = []
        self._open: list[_Container] = []
        self._open_identities: set[int] = set()

    def text(self, root: Any) -> str:
        self._write(root)
        while self._open:
            container = self._open[-1]
            following = next(container.items, None)
            if following is None:
                self._leave()
            else:
                self._write_item(container, *following)
        return "".join(self._pieces)

    def _write_item(self, container: _Container, step: Any, item: Any) -> None:
        self._pieces.append(container.separator)
        container.separator = ","
        container.step = step
        if container.closing == "}":
            self._write_name(step)
        self._write(item)

    def _write_name(self, name: Any) -> None:
        try:
            text = key_text(name)
        except (TypeError, ValueError, OverflowError) as error:
            raise self._refusal(str(error)) from error
        self._pieces.append(_string_text(text) + ":")

    def _write(self, value: Any) -> None:
        origin = value
        for _ in range(_MAX_DEPTH):
            text = self._scalar_text(value)
            if text is not None:
                self._pieces.append(text)
                return
            if isinstance(value, (list, tuple, dict)):
                self._enter(value, origin)
                return
            value = self._next_form(value)
        raise self._refusal(f"{type(origin).__qualname__} never becomes plain data")

    def _scalar_text(self, value: Any) -> str | None:
        if isinstance(value, str):
            return _string_text(value)
        if value is None or isinstance(value, bool):
            return _CONSTANTS[value]
        if isinstance(value, int):
            try:
                return int.__repr__(value)
            except ValueError as error:
                raise self._refusal(f"an int has too many digits ({error})") from error
        if isinstance(value, float):
            return json_number_text(value)
        return None

    def _next_form(self, value: Any) -> Any:
        try:
            return self._form(value)
        except Exception as error:
            raise self._refusal(str(error) or type(error).__name__) from error

    def _enter(self, content: Any, origin: Any) -> None:
        container = _Container(content, origin)
        if container.identities & self._open_identities:
            raise self._refusal("it contains itself")
        if len(self._open) == _MAX_DEPTH:
            raise self._refusal(f"it is nested more than {_MAX_DEPTH:,} levels deep")
        self._pieces.append("{" if container.closing == "}" else "[")
        self._open.append(container)
        self._open_identities |= container.identities

    def _leave(self) -> None:
        container = self._open.pop()
        self._open_identities -= container.identities
        self._pieces.append(container.closing)

    def _refusal(self, reason: str) -> PayloadError:
        steps = [container.path_step for container in self._open]
        shown = steps[:_MAX_PATH_STEPS] + ["…"] * (len(steps) > _MAX_PATH_STEPS)
        return PayloadError(
            f"the payload cannot be written as JSON: at ${''.join(shown)}, {reason}"
        )
