"""Formats a config quickly: MMEngine does it for every checkpoint, which takes longer than a tiny iteration."""

import ast
from functools import cache

from yapf.yapflib import yapf_api

format_code = yapf_api.FormatCode


def format_once():
    """Let yapf remember the statements that it has formatted in this process; configs share most of them."""
    yapf_api.FormatCode = format_statements


def format_statements(text, style_config):
    """Return what yapf returns for a config: its statements, each formatted by itself, and whether that changed it."""
    style = tuple(style_config.items())
    found = ''.join(format_statement(ast.get_source_segment(text, each), style) for each in ast.parse(text).body)
    return found, found != text


@cache
def format_statement(statement, style):
    return format_code(statement, style_config=dict(style))[0]
