"""Generated parts of pages, and the markers that say where they go."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from vrtspike.errors import VrtSpikeError
from vrtspike.runtime.atomic_write import written_aside

FIGURE = re.compile(r'<!--=([\w.]+)-->[^<\n]*<!--/-->')
"""A number within a sentence, a cell or beside a code span: its name, the number, the end."""
FIGURE_MARKS = re.compile(r'<!--=.*?-->|<!--/-->')
AT_A_LINES_BEGIN = re.compile(r'^[ \t]*(?:[-*>] +)?<!--=', re.MULTILINE)


@dataclass(frozen=True)
class Place:
    """A generated part of a page.

    Args:
        page: Path of the page within the checkout.
        part: Name of the markers around the text, ``<!-- name:begin -->`` and ``<!-- name:end -->``, each on a line of
            its own; None for the whole page.
        text: What belongs there.
    """

    page: str
    part: str | None
    text: str

    def __str__(self) -> str:
        return f'{self.page}: {self.part or "the whole page"}'

    def put(self, old: str) -> str:
        """Return the page ``old`` with the text in its place; an error where its markers are not there once each."""
        if self.part is None:
            return self.text
        begin, end = f'<!-- {self.part}:begin -->', f'<!-- {self.part}:end -->'
        if old.count(begin) != 1 or old.count(end) != 1:
            raise VrtSpikeError(f'{self.page} needs {begin} and {end} once each, to say where the text goes')
        before, rest = old.split(begin)
        return f'{before}{begin}\n{self.text}\n{end}{rest.split(end)[1]}'


@dataclass(frozen=True)
class Figure(Place):
    """A number in the text of a page, wherever ``<!--=name-->`` and ``<!--/-->`` are around it.

    HTML comments are invisible on GitHub and on the site, but a line must not begin with one: both would take it for a
    block of its own.
    """

    def __str__(self) -> str:
        return f'{self.page}: ={self.part}'

    def put(self, old: str) -> str:
        """Return the page ``old`` with the number in all its places."""
        return FIGURE.sub(
            lambda found: f'<!--={self.part}-->{self.text}<!--/-->' if found[1] == self.part else found[0], old
        )


def changed(root: Path, places: Iterable[Place]) -> tuple[list[Place], dict[str, str]]:
    """Return the places whose page has another text there, and the new texts of these pages."""
    outdated, texts = [], {}
    for place in places:
        path = root / place.page
        old = texts.get(place.page) or (path.read_text(encoding='utf-8') if path.is_file() else '')
        new = place.put(old)
        if new != old:
            outdated.append(place)
            texts[place.page] = new
    return outdated, texts


def write(root: Path, texts: Mapping[str, str]) -> None:
    """Write the texts of pages."""
    for page, text in texts.items():
        with written_aside(root / page) as aside:
            aside.write_text(text, encoding='utf-8')


def pages(root: Path) -> list[Path]:
    """Return all pages that have generated parts."""
    patterns = ('README*.md', 'docs/*.md', 'plugins/*/README.md')
    return [path for pattern in patterns for path in sorted(root.glob(pattern))]


def figure_names(root: Path) -> dict[str, list[str]]:
    """Return the names of the figures on each page; an error where a marker is not closed or begins a line."""
    names = {}
    for path in pages(root):
        page, text = path.relative_to(root).as_posix(), path.read_text(encoding='utf-8')
        names[page] = list(dict.fromkeys(FIGURE.findall(text)))
        rest = FIGURE.sub('', text)
        if stray := FIGURE_MARKS.search(rest):
            raise VrtSpikeError(f'{page}: {stray[0]} stands alone; write <!--=name-->number<!--/--> on one line')
        if begin := AT_A_LINES_BEGIN.search(text):
            line = text.count('\n', 0, begin.start()) + 1
            raise VrtSpikeError(f'{page}, line {line} begins with a marker, which ends the paragraph; put a word first')
    return names


def figures(root: Path, values: Mapping[str, Callable[[], str]]) -> list[Place]:
    """Return those of ``values`` that pages have a place for; nothing else is evaluated, and each once."""
    found = figure_names(root)
    wanted = {name for names in found.values() for name in names if name in values}
    texts = {name: values[name]() for name in sorted(wanted)}
    return [Figure(page, name, texts[name]) for page, names in found.items() for name in names if name in texts]
