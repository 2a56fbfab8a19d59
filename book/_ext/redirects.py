"""Pages where others have been: ``redirects`` in the configuration maps a former page to the one it has become."""

import os
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.errors import ConfigError

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>This page has moved</title>
<meta http-equiv="refresh" content="0; url={target}">
<link rel="canonical" href="{target}">
</head>
<body><main><h1>This page has moved</h1><p>It is now <a href="{target}">{target}</a>.</p></main></body>
</html>
"""


def write(app: Sphinx, failed: Exception | None) -> None:
    """Writes a page that leads on for every former one.

    Raises:
        ConfigError: There is a page of the former name, or none of the new one.
    """
    if failed or app.builder.format != "html":
        return
    for former, new in app.config.redirects.items():
        if former in app.env.found_docs or new not in app.env.found_docs:
            raise ConfigError(f"{former} cannot lead to {new}: the first must be no page of the book, the second one.")
        path = Path(app.outdir, f"{former}.html")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(PAGE.format(target=os.path.relpath(f"{new}.html", os.path.dirname(former))), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the setting."""
    app.add_config_value("redirects", {}, "html", dict)
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
