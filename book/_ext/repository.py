"""Everything that depends on the project's public address, which is ``repository: url`` in ``_config.yml``.

With an address every page links to its source, notebooks have a button for Colab, and the directive ``clone`` begins
with the command that fetches the project. Without one all of these are absent.
"""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.docutils import SphinxDirective

COLAB = "https://colab.research.google.com"


def switch(app: Sphinx, config: Config) -> None:
    """Turns the theme's buttons on where there is an address; Colab opens notebooks of GitHub alone."""
    options = config.html_theme_options
    address = options.get("repository_url") or ""
    options |= dict.fromkeys(("use_repository_button", "use_edit_page_button", "use_issues_button"), bool(address))
    options["launch_buttons"] = {"colab_url": COLAB} if address.startswith("https://github.com/") else {}


class Clone(SphinxDirective):
    """The commands in the directive's content, in front of which the project is fetched where it has an address."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """A block of commands."""
        lines = list(self.content)
        if address := self.config.html_theme_options.get("repository_url"):
            lines.insert(0, f"git clone {address} mtlkit && cd mtlkit")
        text = "\n".join(lines)
        return [nodes.literal_block(text, text, language="bash")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the directive, and the switch before the theme reads its options."""
    app.connect("config-inited", switch, priority=100)
    app.add_directive("clone", Clone)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
