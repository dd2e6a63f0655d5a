"""Reads the text logs of BasicSR, and of KAIR and S-VRT, whose lines descend from an early BasicSR."""

from __future__ import annotations

import datetime
import re

from vrtspike.analysis.readers.line_reader import NUMBER, LineReader

CLOCK = re.compile(r'^(?P<year>\d{2}|\d{4})-(?P<rest>\d\d-\d\d \d\d:\d\d:\d\d)[.,](?P<ms>\d{3})')
ITERATION = re.compile(
    r'[<\[]epoch: *(?P<epoch>\d{1,15}), iter: *(?P<iter>\d{1,15}|\d{1,3}(?:,\d{3}){1,4})(?![\d,]*\d)'
    rf'(?:, lr: *\(?(?P<rate>{NUMBER})[^>\]]*)?[>\]]?(?P<rest>.*)'
)
TIMES = re.compile(rf'time \(data\): *(?P<time>{NUMBER}) \((?P<data>{NUMBER})\)')
AVERAGE = re.compile(rf'Average (?P<name>\w+) *: *(?P<value>{NUMBER})')
METRIC = re.compile(rf'^\s*# (?P<name>[\w/]+): (?P<value>{NUMBER})')
PAIR = re.compile(rf'(?P<name>[A-Za-z_][\w/]*): *(?P<value>{NUMBER})(?P<unit>ms|s)?(?=[\s,|]|$)')
MS = {'s': 1e3, 'ms': 1.0}


class BasicSRReader(LineReader):
    """Takes lines one by one. If the iterations go back, another start of the training begins.

    BasicSR gives a mean time of iterations, KAIR none: there the time stamps of two lines tell it, if no validation
    came in between.
    """

    kind = 'basicsr'

    def forget(self) -> None:
        """Forget the line before."""
        self.before: tuple[int, datetime.datetime] | None = None
        """Iteration and time stamp of the line before, None if it does not tell the time of the next iterations."""

    def feed(self, line: str) -> bool:
        """Read a line, and return False if it is not of this format."""
        if found := ITERATION.search(line):
            iteration = int(found['iter'].replace(',', ''))
            if averages := AVERAGE.findall(line):
                self._validation(iteration, dict(averages))
            elif found['rate'] is not None:
                self._training(line, iteration, found)
            return True
        if (found := METRIC.search(line)) and self.start.last is not None:
            self._validation(self.start.last, {found['name']: found['value']})
            return True
        return False

    def _training(self, line: str, iteration: int, found: re.Match) -> None:
        if self.start.last is not None and iteration <= self.start.last:
            self.close()
            self.begin()
        self.start.reach(iteration)
        self.source.records += 1
        self.records.scalar('lr', iteration, float(found['rate']))
        rest = TIMES.sub('', found['rest'])
        for pair in PAIR.finditer(rest):
            name, value = pair['name'], float(pair['value'])
            if pair['unit']:
                name, value = f'{name}_ms', value * MS[pair['unit']]
            self.records.scalar(name, iteration, value)
        self._costs(line, iteration, int(found['epoch']), TIMES.search(found['rest']))

    def _costs(self, line: str, iteration: int, epoch: int, times: re.Match | None) -> None:
        now, before = time_of(line), self.before
        self.before = now and (iteration, now)
        row = {'iteration': iteration, 'epoch': epoch}
        if times:
            data_ms = float(times['data']) * 1e3
            row |= {'iteration_ms': float(times['time']) * 1e3}
            row |= {'stages/data/forward_ms': data_ms, 'stages/data/total_ms': data_ms}
            self.rows.append(row)
        elif now and before and now > before[1]:
            elapsed = (now - before[1]) / datetime.timedelta(milliseconds=1)
            self.rows.append(row | {'iteration_ms': elapsed / (iteration - before[0])})

    def _validation(self, iteration: int, values: dict[str, str]) -> None:
        self.source.records += 1
        self.before = None
        for name, value in values.items():
            name = name.lower()
            self.records.validated.add(name)
            self.records.scalar(name, iteration, float(value))


def time_of(line: str) -> datetime.datetime | None:
    """Return the time stamp at the beginning of a line, None if there is none that exists."""
    found = CLOCK.match(line)
    if not found:
        return None
    year = found['year'] if len(found['year']) == 4 else f'20{found["year"]}'
    try:
        return datetime.datetime.fromisoformat(f'{year}-{found["rest"]}.{found["ms"]}')
    except ValueError:
        return None
