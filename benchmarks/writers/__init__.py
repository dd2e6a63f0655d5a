"""What writes the generated parts of READMEs and docs: one module each, with ``places(root)``.

A writer reads records, or counts what the code defines, and returns its parts of the pages as
:class:`writers.places.Place`; ``benchmarks/pages.py`` puts them there.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from writers.places import Place

WRITERS = {
    'results': 'the results in the READMEs',
    'report': "the READMEs' report of a training",
    'figures': 'single numbers from records in the text of all pages',
    'counts': 'single numbers in the text that the code defines: parameters, arithmetic (half a minute)',
    'guide': 'the performance guide',
    'zoo': 'the model zoo',
    'ablations': 'the tables of ablations and plugins',
    'data': 'the speed of reading data',
    'optimize': 'what the search for a faster config found',
    'speed': 'ours against the published code, growth',
    'training': 'what recipes gain and long trainings hold',
    'restoring': 'tiles, a long clip, thresholds',
    'legacy': 'what became of the keys of earlier configs',
    'held': 'what the baseline holds for its backward pass (a minute)',
}
"""What each writes, by the name of its module."""


def places(writer: str, root: Path) -> list[Place]:
    """Return what a writer writes into the pages of the checkout ``root``."""
    return importlib.import_module(f'writers.{writer}').places(root)
