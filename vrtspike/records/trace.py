"""Traces: what the stages of sampled iterations did when, for Perfetto and ``chrome://tracing``.

A file is JSON in the Trace Event Format, compressed by gzip
(https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU). A process of the trace is a rank, and
a thread is a track: one for every phase of the network's stages, with parts nested in stages, and one for every other
stage. The slices of a stage sum to its milliseconds in ``stage_costs.jsonl``: both are views of the same marks.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

import msgspec

from vrtspike.errors import LogError
from vrtspike.records.stage_costs import PHASES, RunLine, Sample, Span
from vrtspike.runtime.atomic_write import atomic_write

FILE_NAME = 'trace.json.gz'
"""The file of rank 0 in the folder of a run."""

OUTSIDE = ('data', 'optimizer', 'communication', 'other')
"""Stages with a track of their own, because they are outside of the network."""

HOST_BOUND = 'host-bound'
"""The track that shows where the device may have waited for the host."""

TRACKS = ('iteration', 'data', *PHASES, 'optimizer', 'communication', 'other', HOST_BOUND)


class Event(msgspec.Struct, kw_only=True, omit_defaults=True):
    """An event of a trace; the names are those of the format.

    Args:
        ph: Its kind: ``X`` a slice, ``C`` values of a counter from here on, ``M`` metadata.
        pid: The process: the rank.
        tid: The thread: the track.
        ts: When it begins, in microseconds.
        dur: Of a slice, in microseconds.
        cat: The phase of a stage's slice.
    """

    name: str
    ph: str
    pid: int
    tid: int
    ts: float | msgspec.UnsetType = msgspec.UNSET
    dur: float | msgspec.UnsetType = msgspec.UNSET
    cat: str | None = None
    args: dict[str, int | float | str | None] = {}


class Description(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a trace is of, shown by the viewers as its metadata."""

    began_us: int
    """When its time is 0, in microseconds since 1970."""
    config: str | None = None
    device: str | None = None


class Trace(msgspec.Struct, kw_only=True):
    """The content of a file."""

    traceEvents: list[Event]
    displayTimeUnit: str = 'ms'
    otherData: Description


def trace_of(samples: Sequence[Sample], run: RunLine) -> Trace:
    """Return the trace of a process.

    Args:
        samples: With spans; at least one.
        run: Its ``costs`` give the rates of the forward pass.
    """
    began_us = samples[0].began_us
    events = [*_names(run.rank)]
    ended_ns = 0
    for sample in samples:
        # The host says when an iteration began, and the device how long it took: neither may reach into the next one.
        start_ns = max((sample.began_us - began_us) * 1000, ended_ns)
        writer = _Writer(sample, start_ns)
        events += writer.events(run)
        ended_ns = writer.end_ns
    device = str(run.device['name']) if run.device else None
    return Trace(traceEvents=events, otherData=Description(began_us=began_us, config=run.config, device=device))


class _Writer:
    """Makes the events of one iteration."""

    def __init__(self, sample: Sample, start_ns: int) -> None:
        self.sample = sample
        self.start_ns = start_ns
        last = sample.spans[-1]
        self.end_ns = self._ns(last.start_ms + last.ms)

    def events(self, run: RunLine) -> Iterator[Event]:
        """Yield them."""
        spans = self.sample.spans
        about = {'iteration': self.sample.iteration}
        yield self._slice(
            f'iteration {self.sample.iteration}',
            'iteration',
            spans,
            {**about, 'clips': self.sample.clips, 'frames': self.sample.frames, 'loss': self.sample.loss},
        )
        for (stage, phase), in_stage in _runs(spans, lambda span: (span.owner.stage, span.owner.phase)):
            track = stage if stage in OUTSIDE else phase
            yield self._slice(stage, track, in_stage, about, phase)
            for part, in_part in _runs(in_stage, lambda span: span.owner.part):
                if part is not None:
                    yield self._slice(f'{stage}{part}', track, in_part, about, phase)
        for span in spans:
            if span.host_bound_ms:
                bound = span._replace(ms=span.host_bound_ms)
                yield self._slice(span.owner.stage, HOST_BOUND, [bound], about, HOST_BOUND)
        yield from self._counter('memory', 'MiB', ((span, span.memory_mib) for span in spans))
        if run.costs:
            yield from self._counter('forward pass', 'GFLOP/s', self._rates(run))

    def _rates(self, run: RunLine) -> Iterator[tuple[Span, float]]:
        """Yield every span with the rate of its stage, 0 outside of the forward pass: nothing else is counted."""
        stages = self.sample.stages()
        rates = {
            stage: 2 * cost.gmacs * self.sample.clips / stages[stage]['forward'] * 1e3
            for stage, cost in run.costs.items()
            if stages.get(stage, {}).get('forward')
        }
        for span in self.sample.spans:
            yield span, rates.get(span.owner.stage, 0.0) if span.owner.phase == 'forward' else 0.0

    def _slice(
        self, name: str, track: str, spans: Sequence[Span], args: dict[str, float | None], category: str | None = None
    ) -> Event:
        start, end = self._ns(spans[0].start_ms), self._ns(spans[-1].start_ms + spans[-1].ms)
        return self._event(name, 'X', start, tid=TRACKS.index(track), dur=(end - start) / 1e3, cat=category, args=args)

    def _counter(self, name: str, unit: str, values: Iterable[tuple[Span, float | None]]) -> Iterator[Event]:
        for value, spans in groupby(values, lambda pair: pair[1]):
            if value is not None:
                first, _ = next(spans)
                yield self._event(name, 'C', self._ns(first.start_ms), tid=0, args={unit: round(value, 3)})

    def _event(self, name: str, ph: str, ns: int, **fields) -> Event:
        return Event(name=name, ph=ph, pid=self.sample.rank, ts=ns / 1e3, **fields)

    def _ns(self, ms: float) -> int:
        """Return a moment of the iteration in nanoseconds of the trace: the finest that the viewers know."""
        return self.start_ns + round(ms * 1e6)


def _runs(spans: Iterable[Span], key) -> Iterator[tuple]:
    """Yield the keys of successive spans and the spans that have them."""
    for value, group in groupby(spans, key):
        yield value, list(group)


def _names(rank: int) -> Iterator[Event]:
    """Yield the names of a process and of its tracks, and their order."""
    yield Event(name='process_name', ph='M', pid=rank, tid=0, args={'name': f'rank {rank}'})
    yield Event(name='process_sort_index', ph='M', pid=rank, tid=0, args={'sort_index': rank})
    for i, track in enumerate(TRACKS):
        yield Event(name='thread_name', ph='M', pid=rank, tid=i, args={'name': track})
        yield Event(name='thread_sort_index', ph='M', pid=rank, tid=i, args={'sort_index': i})


def write_trace(path: Path, trace: Trace) -> None:
    """Write a trace atomically, compressed if the name ends with ``.gz``.

    Raises:
        OSError: It cannot be written.
    """
    data = msgspec.json.encode(trace)
    with atomic_write(path) as temporary:
        temporary.write_bytes(gzip.compress(data, mtime=0) if path.suffix == '.gz' else data)


def read_trace(path: Path) -> Trace:
    """Return the trace in a file that :func:`write_trace` wrote compressed.

    Raises:
        LogError: It is damaged.
    """
    try:
        return msgspec.json.decode(gzip.decompress(path.read_bytes()), type=Trace)
    except (EOFError, gzip.BadGzipFile, zlib.error, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise LogError(f'{path}: not a trace that StageCostHook wrote: {error}') from error


def traces_of(folder: Path) -> list[Path]:
    """Return the traces of all ranks in the folder of a run.

    Raises:
        LogError: There is none.
    """
    paths = [*folder.glob(FILE_NAME), *sorted(folder.glob('trace_rank*.json.gz'))]
    if not paths:
        raise LogError(
            f"no trace in '{folder}': expected trace.json.gz, which a training writes with "
            '--cfg-options default_hooks.stage_cost.trace=3'
        )
    return paths


def merged_trace(paths: Iterable[Path]) -> Trace:
    """Return the traces of all ranks as one, on one axis of time.

    Ranks on several machines are as far apart as the clocks of these machines.

    Raises:
        LogError: A trace is damaged.
    """
    traces = [read_trace(path) for path in paths]
    began_us = min(trace.otherData.began_us for trace in traces)
    events = []
    for trace in traces:
        for event in trace.traceEvents:
            if event.ts is not msgspec.UNSET:
                event.ts = round(event.ts + trace.otherData.began_us - began_us, 3)
            events.append(event)
    return Trace(traceEvents=events, otherData=msgspec.structs.replace(traces[0].otherData, began_us=began_us))
