"""Reads what the modules of the older code printed: a line per part, a summary per forward pass."""

from __future__ import annotations

import re

from vrtspike.analysis.readers.legacy_names import DETAILS, FORWARD, ROOTS, TIME, row_of
from vrtspike.analysis.readers.line_reader import LineReader

MS = rf'(?P<ms>{TIME})ms'
MODULES = {'SpikeEncoder3D': 'spike_encoder', 'SpikeTemporalSelfAttention': 'tsa'}
PART = re.compile(rf'\[(?P<module>{"|".join(MODULES)})\]\s*(?P<name>[^:(\s]+).*?:\s*{MS}')
STAGE = re.compile(rf'\[VRT\]\s*Stage\s*(?P<stage>\d+).*?:\s*{MS}')
FUSION = re.compile(
    rf"""
    \[VRT融合\]\s*Stage\s*(?P<stage>\d+).*?:\s*{MS}
    (?:.*?转换:\s*(?P<permute>{TIME})ms,\s*融合:\s*(?P<attend>{TIME})ms)?  # what the time consists of
    """,
    re.VERBOSE,
)
WHOLE_VRT = re.compile(rf'\[主模型\]\s*VRT处理总耗时\s*:\s*{MS}')
TOTAL = re.compile(rf'{FORWARD}\s*:\s*{MS}\s*$')
SUMMARY = re.compile(rf'-\s+(?P<name>{"|".join(map(re.escape, ROOTS))})\s*:\s*{MS}\s*\(')
TAGS = ('[SpikeEncoder3D]', '[SpikeTemporalSelfAttention]', '[VRT]', '[VRT融合]', '[主模型]')


class PrintReader(LineReader):
    """Takes lines one by one and adds each finished forward pass to the log.

    A forward pass consists of the lines of its parts, the line of its total and the summary of its roots. Parts that
    are printed once per scale are summed.
    """

    kind = 'legacy_print'

    def feed(self, line: str) -> bool:
        """Read a line, and return False if it is not of this format."""
        if (summary := SUMMARY.search(line)) and self.forward_ms is not None:
            self.roots[ROOTS[summary['name']]] = float(summary['ms'])
            return True
        tagged = any(tag in line for tag in TAGS)
        if not tagged and FORWARD not in line:
            return False
        if self.forward_ms is not None:  # the previous pass is complete
            self.finish()
        if total := TOTAL.search(line):
            self.forward_ms = float(total['ms'])
        elif not self._part(line) and not (tagged and 'ms' in line):
            self.source.damage(self.source.lines)
        return True

    def finish(self) -> None:
        """Add the current pass if its total was read."""
        if self.forward_ms is not None:
            self.rows.append(row_of(self.forward_ms, self.roots, self.stages, self.parts))
            self.source.records += 1
        self.forget()

    def close(self) -> None:
        """Add the rest at the end of the file."""
        if self.forward_ms is None and (self.stages or self.parts):
            self.source.damage(self.source.lines)
        self.finish()
        super().close()

    def forget(self) -> None:
        """Forget the lines of an unfinished forward pass."""
        self.forward_ms: float | None = None
        self.roots: dict[str, float] = {}
        self.stages: dict[str, float] = {}
        self.parts: dict[str, float] = {}

    def _part(self, line: str) -> bool:
        """Take the line of a part, and return whether it could be read."""
        if part := PART.search(line):
            _sum(self.parts, f'{MODULES[part["module"]]}/{detail(part["name"])}', part['ms'])
        elif stage := STAGE.search(line):
            _sum(self.stages, f'stage{stage["stage"]}', stage['ms'])
        elif fusion := FUSION.search(line):
            name = f'fuse{fusion["stage"]}'
            _sum(self.stages, name, fusion['ms'])
            if fusion['attend']:
                _sum(self.parts, f'{name}/permute', fusion['permute'])
                _sum(self.parts, f'{name}/attend', fusion['attend'])
        elif whole := WHOLE_VRT.search(line):
            self.roots['vrt'] = float(whole['ms'])
        else:
            return False
        return True


def detail(name: str) -> str:
    """Return our name for a part: '尺度0' is 'scale0', 'Self-Attention总耗时' is 'self_attention'."""
    if scale := re.match(r'尺度(\d+)', name):
        return f'scale{scale[1]}'
    name = name.removesuffix('总耗时').removesuffix('耗时')
    return DETAILS.get(name, name)


def _sum(times: dict[str, float], name: str, ms: str) -> None:
    times[name] = times.get(name, 0.0) + float(ms)
