"""One plotting style: readable on white, the same bytes everywhere."""

from mtlkit.errors import extra

with extra("book"):
    import matplotlib as mpl
    import seaborn as sns

INK = "#22303c"
PRINTED = "#8a94a0"
MEASURED = "#0b6e99"


def use_style() -> None:
    """Sets seaborn's theme, with the font that ships with matplotlib and no randomness in SVG ids."""
    sns.set_theme(
        context="notebook",
        style="whitegrid",
        font="DejaVu Sans",
        font_scale=0.85,
        rc={
            "figure.dpi": 100,  # of 7 to 8 inches as wide as the text of a page
            "savefig.dpi": 100,
            "figure.facecolor": "white",
            "axes.edgecolor": "#c8ced4",
            "axes.labelcolor": INK,
            "text.color": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "grid.color": "#e6e9ec",
            "svg.hashsalt": "mtlkit",
            "text.parse_math": False,  # names of classes and data sets may hold a $
        },
    )
    mpl.rcParams["svg.fonttype"] = "path"
