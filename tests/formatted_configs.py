"""Formats the text of a config once: MMEngine does it for every checkpoint, which takes longer than a tiny step."""

from functools import cache

from yapf.yapflib import yapf_api


def format_once():
    """Let yapf remember what it has formatted in this process."""
    remembered = cache(lambda text, style: format_code(text, style_config=dict(style)))
    format_code = yapf_api.FormatCode
    yapf_api.FormatCode = lambda text, style_config: remembered(text, tuple(style_config.items()))
