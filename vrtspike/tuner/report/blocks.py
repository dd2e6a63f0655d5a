"""What a section consists of. Every block renders as Markdown and as HTML, as a table does."""

from __future__ import annotations

import msgspec
from markupsafe import Markup

from vrtspike.reporting.table import Table


class Paragraph(msgspec.Struct, frozen=True):
    """A paragraph of text."""

    text: str

    def markdown(self) -> str:
        """Return the text."""
        return self.text

    def html(self) -> Markup:
        """Return the text in an element."""
        return Markup('<p>{}</p>').format(self.text)


class Items(msgspec.Struct, frozen=True):
    """A list of texts."""

    texts: list[str]

    def markdown(self) -> str:
        """Return one line for each text."""
        return '\n'.join(f'- {text}' for text in self.texts)

    def html(self) -> Markup:
        """Return the list in an element."""
        return Markup('<ul>{}</ul>').format(Markup('').join(Markup('<li>{}</li>').format(each) for each in self.texts))


class Code(msgspec.Struct, frozen=True):
    """Text as it stands in a file or on the command line."""

    text: str

    def markdown(self) -> str:
        """Return the text between fences."""
        return f'```\n{self.text}\n```'

    def html(self) -> Markup:
        """Return the text in an element."""
        return Markup('<pre>{}\n</pre>').format(self.text)


Block = Paragraph | Items | Code | Table
