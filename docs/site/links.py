"""A hook of MkDocs for pages that link to files of the checkout outside docs/: they become part of the site.

Such a link is written as it works in the checkout, ``../plugins/README.md``. The site holds the file as
``checkout/plugins/README.md``, and the links of pages that came along are followed as well. A link to a file that does
not exist stays as it is, so that a strict build names it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r'(?<=\]\()([^)\s:#]+)')
"""The path of a relative Markdown link, without its anchor."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files that pages link to, and what those link to."""
    waiting = [ROOT / 'docs' / file.src_uri for file in files.documentation_pages()]
    while waiting:
        page = waiting.pop()
        for target in targets(page):
            uri = site_uri(target)
            if files.get_file_from_path(uri) is None:
                files.append(File.generated(config, uri, abs_src_path=str(target)))
                waiting += [target] if target.suffix == '.md' else []
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let the page's links lead to where the site has their files."""
    source, folder = source_of(page.file.src_uri), Path(page.file.src_uri).parent

    def moved(link: re.Match[str]) -> str:
        target = (source.parent / link[1]).resolve()
        return Path(os.path.relpath(site_uri(target), folder)).as_posix() if is_ours(target) else link[1]

    return LINK.sub(moved, markdown)


def targets(page: Path) -> list[Path]:
    """Return the files outside docs/ that a page of the checkout links to."""
    found = [(page.parent / link[1]).resolve() for link in LINK.finditer(page.read_text(encoding='utf-8'))]
    return [path for path in found if is_ours(path) and not path.is_relative_to(ROOT / 'docs')]


def is_ours(path: Path) -> bool:
    return path.is_file() and path.is_relative_to(ROOT)


def site_uri(path: Path) -> str:
    """Return where in the site a file of the checkout lies."""
    relative = path.relative_to(ROOT)
    if relative.parts[0] == 'docs':
        return relative.relative_to('docs').as_posix()
    return '/'.join(['checkout', *(part.lstrip('.') for part in relative.parts)])  # hidden names are left out of sites


def source_of(uri: str) -> Path:
    """Return the file of the checkout that a page of the site was made of."""
    return ROOT / uri.removeprefix('checkout/') if uri.startswith('checkout/') else ROOT / 'docs' / uri
