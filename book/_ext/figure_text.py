"""Gives figures of notebooks the alternative text that their outputs carry; myst-nb keeps width and height alone."""

from typing import Any

from docutils.nodes import Element
from myst_nb.core.render import MimeData, NbElementRenderer
from sphinx.application import Sphinx

_render_image = NbElementRenderer.render_image


def _with_text(self: NbElementRenderer, data: MimeData) -> list[Element]:
    found = _render_image(self, data)
    if text := data.output_metadata.get(data.mime_type, {}).get("alt"):
        found[0]["alt"] = text
    return found


def setup(app: Sphinx) -> dict[str, Any]:
    """Puts itself in front of the renderer of images."""
    NbElementRenderer.render_image = _with_text  # type: ignore[method-assign]
    return {"parallel_read_safe": True, "parallel_write_safe": True}
