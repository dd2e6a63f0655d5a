"""Reads the timing files of the older code: a block per step with roots and their children, sorted by time."""

from __future__ import annotations

import re

from vrtspike.analysis.readers.legacy_names import FORWARD, TIME, row_of, stage_of
from vrtspike.analysis.readers.line_reader import LineReader

STEP = re.compile(r'\s*Step (\d+)\s*$')
ENTRY = re.compile(
    rf"""
    (?P<child>\s*-\s+)?(?P<name>\S.*?)\s*:\s*(?P<ms>{TIME})ms
    (?:\s*\(\s*[\d.]+%\s*\))?  # its share
    \s*\[avg:\s*(?P<avg>{TIME})ms\s*\]\s*$
    """,
    re.VERBOSE,
)
TOTAL = re.compile(r'Total-*\s*:\s*[\d.]+ms\s*$')
BEGINS_LIKE_ENTRY = re.compile(r'(\s*-\s+)?\S.*\s:\s*[\d.]')


class TimingReader(LineReader):
    """Takes lines one by one and adds each finished step to the log."""

    kind = 'legacy_timing'

    def forget(self) -> None:
        """Forget the current step."""
        self.step: int | None = None
        self.root = ''
        self.times: dict[str, tuple[float, float]] = {}

    def feed(self, line: str) -> bool:
        """Read a line, and return False if it is not of this format."""
        if step := STEP.match(line):
            self.finish()
            self.step, self.root, self.times = int(step[1]), '', {}
            return True
        if self.step is None:
            return False
        if TOTAL.match(line):
            self.finish()
            return True
        if entry := ENTRY.match(line):
            self._enter(entry)
            return True
        if line.startswith('==='):
            return True
        if BEGINS_LIKE_ENTRY.match(line):
            self.source.damage(self.source.lines)
            return True
        return False

    def finish(self) -> None:
        """Add the current step. A step without a forward pass is damaged."""
        if self.step is None:
            return
        if FORWARD in self.times:
            self._add()
        elif self.times:
            self.source.damage(self.source.lines)
        self.step = None

    def close(self) -> None:
        """Add the rest at the end of the file."""
        self.finish()
        super().close()

    def _enter(self, entry: re.Match) -> None:
        name = entry['name']
        if entry['child']:
            name = name if name.startswith(f'{self.root}/') else f'{self.root}/{name}'
        else:
            self.root = name
        self.times[name] = (float(entry['ms']), float(entry['avg']))

    def _add(self) -> None:
        forward_ms, forward_avg = self.times.pop(FORWARD)
        last = {stage_of(name): ms for name, (ms, _) in self.times.items()}
        self.start.reach(self.step)
        self.rows.append({'iteration': self.step, **row_of(forward_ms, *nested(last))})
        self.log.averages = {stage_of(name): avg for name, (_, avg) in self.times.items()}
        self.log.averages['forward'] = forward_avg
        self.source.records += 1


def nested(times: dict[str, float]) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """Return the times of roots, of the stages and fusions inside VRT, and of parts inside both.

    If fusion has no line of its own, it is the sum of its parts.
    """
    parts = {name: ms for name, ms in times.items() if '/' in name}
    roots = {name: ms for name, ms in times.items() if '/' not in name}
    of_fusion = [ms for name, ms in parts.items() if name.startswith('fuse/')]
    if of_fusion:
        roots.setdefault('fuse', sum(of_fusion))
    inside = {name: roots.pop(name) for name in list(roots) if name.startswith(('stage', 'fuse'))}
    return roots, inside, parts
