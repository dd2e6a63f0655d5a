"""Names of files that every process of a training writes."""

from __future__ import annotations


def file_of_rank(name: str, rank: int) -> str:
    """Return the name of a process's file: all but the first have their rank in it.

    >>> file_of_rank('trace.json.gz', 0), file_of_rank('trace.json.gz', 1)
    ('trace.json.gz', 'trace_rank1.json.gz')
    """
    stem, dot, suffixes = name.partition('.')
    return name if rank == 0 else f'{stem}_rank{rank}{dot}{suffixes}'
