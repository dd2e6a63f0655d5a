"""Reads the training logs of the older code: lines of steps, validations and epochs."""

from __future__ import annotations

import re

from vrtspike.analysis.readers.line_reader import NUMBER, LineReader

STEP = re.compile(r'(?:^|\s)step (?P<step>\d+)/\d+ \|')
VALIDATION = re.compile(r'\[val\] step (?P<step>\d+) \|')
EPOCH = re.compile(r'\[epoch\] (?P<epoch>\d+) \|')
PAIR = re.compile(rf'(?P<key>[A-Za-z_]\w*)=(?P<value>{NUMBER})(?:GB|ms|s)?\b')
RATE = re.compile(rf'(?P<value>{NUMBER}) samples/s')
NAMES = {'PSNR_RGB': 'psnr', 'SSIM_Y': 'ssim_y', 'PSNR_Y': 'psnr_y', 'LPIPS': 'lpips'}


class TrainReader(LineReader):
    """Takes lines one by one and adds their values to the log."""

    kind = 'legacy_train'
    step = 0

    def feed(self, line: str) -> bool:
        """Read a line, and return False if it is not of this format."""
        for pattern, take in ((STEP, self._step), (VALIDATION, self._validation), (EPOCH, self._epoch)):
            if found := pattern.search(line):
                values = {pair['key']: float(pair['value']) for pair in PAIR.finditer(line)}
                if values and take(found, values, line):
                    self.source.records += 1
                else:
                    self.source.damage(self.source.lines)
                return True
        return False

    def _step(self, found: re.Match, values: dict[str, float], line: str) -> bool:
        if 'loss' not in values:
            return False
        self.step = int(found['step'])
        self.start.reach(self.step)
        for name, value in values.items():
            if name.endswith('_mem'):
                name, value = 'memory_mib', value * 1024
            self.records.scalar('data_ms' if name == 'data_time' else name, self.step, value)
        if rate := RATE.search(line):
            self.records.scalar('samples_per_s', self.step, float(rate['value']))
        return True

    def _validation(self, found: re.Match, values: dict[str, float], line: str) -> bool:
        for name, value in values.items():
            name = NAMES.get(name, name)
            self.records.validated.add(name)
            self.records.scalar(name, int(found['step']), value)
        return True

    def _epoch(self, found: re.Match, values: dict[str, float], line: str) -> bool:
        if not values.get('steps') or 'time' not in values:
            return False
        iteration_ms = values['time'] * 1e3 / values['steps']
        self.rows.append({'iteration': self.step, 'epoch': int(found['epoch']), 'iteration_ms': iteration_ms})
        return True
