"""Published data sets: where their files lie, how large they are, and by which checksums they are known.

All of it stands in ``sources.yaml``, in the folder of this module.
"""

from collections.abc import Iterable
from functools import cache
from importlib.resources import files

from pydantic import BaseModel, ConfigDict, Field, field_validator

from mtlkit.errors import InputError, extra, unknown

with extra("run"):
    import yaml


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Address(_Part):
    """Where a file can be fetched.

    Attributes:
        url: of the file, or of a zip that holds it.
        member: its name in that zip.
    """

    url: str
    member: str | None = None


class SourceFile(_Part):
    """A published file.

    Attributes:
        urls: addresses, in the order in which they are tried; none: a person has to fetch it.
        bytes: its exact size; ``None``: not known.
        about: to the first digits, where the exact size is not known.
        md5: of the file, in hexadecimal digits; ``None``: not published.
        sha256: likewise.
        git_tree: the identifier of the Git tree that an archive of a commit holds, which is a checksum of its content;
            the archive itself differs from time to time.
        seen: who last listed or used the first address.
        unpack: the folder into which the archive goes, below the data set's; ``None``: the file stays as it is.
        unpacked: about how many bytes it takes then; ``None``: as many as the archive.
        part: what has to be asked for to have this file; ``None``: it always belongs to the data set.
    """

    urls: tuple[Address, ...] = ()
    bytes: int | None = None
    about: int | None = None
    md5: str | None = Field(default=None, pattern="^[0-9a-f]{32}$")
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    git_tree: str | None = Field(default=None, pattern="^[0-9a-f]{40}$")
    seen: str
    unpack: str | None = None
    unpacked: int | None = None
    part: str | None = None

    @field_validator("urls", mode="before")
    @classmethod
    def _addresses(cls, urls: Iterable[object]) -> list[object]:
        return [{"url": one} if isinstance(one, str) else one for one in urls]

    @property
    def size(self) -> int:
        """Bytes, exact or about; 0 where neither is known."""
        return self.bytes or self.about or 0

    @property
    def sums(self) -> dict[str, str]:
        """The published checksums of the file, by algorithm."""
        return {name: value for name in ("sha256", "md5") if (value := getattr(self, name))}


class Source(_Part):
    """A published data set.

    Attributes:
        title: what it is.
        layout: how its folder is read, a key of :data:`mtlkit.data.LAYOUTS`; ``None``: no reader takes it.
        arrange: ``module:function`` that brings the folder into the layout; ``None``: the reader's ``arrange``.
        terms: under which it may be used.
        accept: what a user has to say to accept them; ``None``: nothing.
        files: their places in the data set's folder.
        by_hand: steps for what no program may fetch.
        elsewhere: further places, for a message.
        note: what to know of it.
        counts: patterns below the folder, and how many files each fits when all is unpacked.
    """

    title: str
    layout: str | None = None
    arrange: str | None = None
    terms: str
    accept: str | None = None
    files: dict[str, SourceFile] = Field(default_factory=dict)
    by_hand: tuple[str, ...] = ()
    elsewhere: str | None = None
    note: str | None = None
    counts: dict[str, int] = Field(default_factory=dict)

    @property
    def parts(self) -> tuple[str, ...]:
        """What can be asked for besides."""
        return tuple(dict.fromkeys(file.part for file in self.files.values() if file.part))

    def wanted(self, parts: Iterable[str] = ()) -> dict[str, SourceFile]:
        """The files that always belong to it, and those of ``parts``.

        Raises:
            InputError: it has no such part.
        """
        for part in parts:
            if not self.parts:
                raise InputError(f"{self.title} has no parts, so none is called {part!r}.")
            if part not in self.parts:
                raise unknown(f"part of {self.title}", part, self.parts)
        return {name: file for name, file in self.files.items() if file.part is None or file.part in parts}


@cache
def sources() -> dict[str, Source]:
    """Every published data set, by the name that ``mtlkit data get`` takes.

    >>> pets = sources()["oxford_pets"]
    >>> pets.layout, pets.terms, [file.bytes for file in pets.files.values()]
    ('oxford_pets', 'CC BY-SA 4.0', [791918971, 19173078])
    """
    text = files("mtlkit.data").joinpath("sources.yaml").read_text(encoding="utf-8")
    return {name: Source.model_validate(source) for name, source in yaml.safe_load(text).items()}


def amount(size: int) -> str:
    """A number of bytes for a reader.

    >>> amount(2626), amount(252907541), amount(2972037809)
    ('3 kB', '253 MB', '3.0 GB')
    """
    for unit, letter in ((1e9, "GB"), (1e6, "MB")):
        if size >= unit:
            return f"{size / unit:,.{1 if unit == 1e9 else 0}f} {letter}"
    return f"{-(-size // 1000)} kB"


def overview() -> list[tuple[str, str, str, str, str]]:
    """A line a data set: its name, what it is, its size, how its files are verified, its terms."""
    lines = []
    for name, source in sources().items():
        always = source.wanted().values()
        checked = "checksums" if all(file.sums or file.git_tree for file in always) else "unverified"
        if not source.files:
            checked = "by hand"
        elif not all(file.urls for file in always):
            checked = f"by hand, {checked}"
        size = sum(file.size for file in always)
        more = "" if all(file.size for file in always) else " and more"
        what = source.title + (f"; --with {', '.join(source.parts)}" if source.parts else "")
        lines.append((name, what, f"{amount(size)}{more}" if size else "?", checked, source.terms))
    return lines
