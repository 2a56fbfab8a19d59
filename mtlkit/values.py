"""Frozen, typed values with an identity: what a run *is*, apart from where it happened and what came out."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, ClassVar, Self, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from mtlkit.errors import InputError


class Value(BaseModel):
    """A frozen value whose identity is a hash of its tag and of the fields that differ from their defaults.

    Only differing fields count, so adding a field with a default leaves all earlier identities as they were; a
    released default must therefore never change. Fields declared with ``exclude=True`` (a folder on this
    machine, say) are not part of it.

    A class or a field may be renamed: it then declares its released name, as :attr:`tag` or as the field's ``alias``,
    under which it is hashed and read for good.

    >>> from pydantic import Field
    >>> class Stitch(Value):
    ...     tag: ClassVar[str] = "CrossStitch"  # as it was called at first
    ...     start: float = Field(default=0.9, alias="alpha")
    >>> Stitch(start=0.5).canonical()
    {'is': 'CrossStitch', 'alpha': 0.5}
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    tag: ClassVar[str] = "Value"
    """What the class is called in identities and records; by default the name that it is declared with."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "tag" not in cls.__dict__:
            cls.tag = cls.__qualname__

    def __copy__(self) -> Self:
        """As pydantic's, on which ``model_copy`` stands, without the identity: fields may change in the copy."""
        copied = super().__copy__()
        copied.__dict__.pop("identity", None)
        return copied

    def __iter__(self) -> Iterator[tuple[str, Any]]:  # type: ignore[override]
        """Names and values of the fields, without the identity that is cached beside them."""
        return ((name, getattr(self, name)) for name in type(self).model_fields)

    def canonical(self) -> dict[str, Any]:
        """The tag and the fields that differ from their defaults, by their aliases, as plain JSON types."""
        differing: dict[str, Any] = {"is": self.tag}
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            # ``get_default`` copies a default before each comparison, a third of the time of an identity.
            made = field.default_factory is not None
            default = field.get_default(call_default_factory=True) if made else field.default
            if field.exclude or (not field.is_required() and value == default):
                continue
            differing[field.alias or name] = plain(value)
        return differing

    def nested(self) -> Any:
        """What stands for it in the canonical form of a value that holds it: its own canonical form."""
        return self.canonical()

    @cached_property  # a table asks for the same training's identity hundreds of times
    def identity(self) -> str:
        """Twelve hexadecimal digits of the SHA-256 of :meth:`canonical`."""
        return hash_of(self.canonical())


def hash_of(canonical: Mapping[str, Any]) -> str:
    """The identity of the value with this canonical form."""
    text = json.dumps(canonical, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def plain(value: Any) -> Any:
    """``value`` as JSON types; values in it by their :meth:`~Value.nested`."""
    if isinstance(value, Value):
        return value.nested()
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in sorted(value.items())}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def from_canonical(stored: Mapping[str, Any], kind: Any) -> Any:
    """The value whose canonical form is ``stored``.

    What the canonical form leaves out has its default. Values that stand in another one by their identity, as nodes do,
    cannot be read back.

    Args:
        stored: as :meth:`Value.canonical` returns it, or a JSON file holds it.
        kind: the class of the value, one that it inherits from, or a union of such.

    Raises:
        InputError: ``stored`` is not the canonical form of such a value, as when another version wrote it.

    >>> class Crop(Value):
    ...     size: tuple[int, int]
    >>> from_canonical({"is": "Crop", "size": [96, 128]}, Crop)
    Crop(size=(96, 128))
    """
    try:
        value = _read(stored, kind)
        same = value.canonical() == stored
    except (ValidationError, InputError, KeyError):
        same = False
    if not same:
        raise InputError(
            f"The stored settings of {stored.get('is', 'a value')} would be others in this version of mtlkit; read "
            "them with the version that wrote them."
        )
    return value


def _read(stored: Any, annotation: Any) -> Any:
    """What ``stored`` is the :func:`plain` form of, the values in it made of the classes that the annotation allows."""
    if isinstance(stored, list):
        return [_read(item, annotation) for item in stored]
    if not isinstance(stored, Mapping):
        return stored
    if "is" not in stored:
        return {key: _read(item, annotation) for key, item in stored.items()}
    kind = {kind.tag: kind for kind in _kinds(annotation)}[stored["is"]]
    names = {field.alias or name: field.annotation for name, field in kind.model_fields.items()}
    return kind(**{name: _read(stored[name], names[name]) for name in names.keys() & stored.keys()})


def _kinds(annotation: Any) -> Iterator[type[Value]]:
    """The classes of values that an annotation speaks of, with those that inherit from them."""
    if isinstance(annotation, type) and issubclass(annotation, Value):
        yield annotation
        for kind in annotation.__subclasses__():
            yield from _kinds(kind)
    for part in get_args(annotation):
        yield from _kinds(part)
