"""Frozen, typed values with an identity: what a run *is*, apart from where it happened and what came out."""

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """A frozen value whose identity is a hash of its class and of the fields that differ from their defaults.

    Only differing fields count, so adding a field with a default leaves all earlier identities as they were; a
    released default must therefore never change. Fields declared with ``exclude=True`` (a folder on this
    machine, say) are not part of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    def canonical(self) -> dict[str, Any]:
        """The class name and the fields that differ from their defaults, as plain JSON types."""
        differing: dict[str, Any] = {"is": type(self).__qualname__}
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if field.exclude or (not field.is_required() and value == field.get_default(call_default_factory=True)):
                continue
            differing[name] = plain(value)
        return differing

    @property
    def identity(self) -> str:
        """Twelve hexadecimal digits of the SHA-256 of :meth:`canonical`."""
        text = json.dumps(self.canonical(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def plain(value: Any) -> Any:
    """``value`` as JSON types; values in it by their canonical form."""
    if isinstance(value, Value):
        return value.canonical()
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in sorted(value.items())}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value
