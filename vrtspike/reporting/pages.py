"""Pages from the Jinja2 templates in ``templates/``. HTML is self-contained: no scripts or fonts from elsewhere.

A page extends ``base.html``, which holds the style, and shows a :class:`~vrtspike.reporting.table.Table` with
``{{ table.html() }}``. HTML escapes values, unless they are :class:`markupsafe.Markup`; Markdown does not.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from vrtspike.runtime.atomic_write import write_text


@cache
def environment() -> Environment:
    """Return the environment of the templates: it escapes values in HTML and refuses undefined variables."""
    templates = Environment(
        loader=PackageLoader('vrtspike.reporting'),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.policies['json.dumps_kwargs'] = {'sort_keys': False}  # dicts keep their order in scripts too
    return templates


def render(template: str, **context: object) -> str:
    """Return a template of ``templates/`` filled with values.

    Args:
        template: File name, such as ``'run_report.html'``.
        **context: The template's variables.
    """
    return environment().get_template(template).render(context)


def save_page(path: str | Path, html: str) -> None:
    """Write a page atomically."""
    write_text(path, html)
