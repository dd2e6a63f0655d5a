"""Traces against a schema of the Trace Event Format, written from its published description."""

import gzip
import json
import math
from collections import defaultdict

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrtspike.errors import LogError
from vrtspike.records.stage_costs import PHASES, CountedCost, Owner, RunLine, Sample, Span
from vrtspike.records.trace import TRACKS, merged_trace, trace_of, traces_of, write_trace
from vrtspike.records.writer import sample_line

TIME = {'type': 'number', 'minimum': 0}
COMMON = {'name': {'type': 'string', 'minLength': 1}, 'pid': {'type': 'integer'}, 'tid': {'type': 'integer'}}
SLICE = {'ph': {'const': 'X'}, 'ts': TIME, 'dur': TIME, 'cat': {'type': 'string'}, 'args': {'type': 'object'}}
COUNTER = {
    'ph': {'const': 'C'},
    'ts': TIME,
    'args': {'type': 'object', 'minProperties': 1, 'additionalProperties': {'type': 'number'}},
}
METADATA = {
    'ph': {'const': 'M'},
    'name': {'enum': ['process_name', 'process_sort_index', 'thread_name', 'thread_sort_index']},
    'args': {
        'type': 'object',
        'properties': {'name': {'type': 'string'}, 'sort_index': {'type': 'integer'}},
        'additionalProperties': False,
        'minProperties': 1,
    },
}


def event(properties: dict, *required: str) -> dict:
    required = ['name', 'ph', 'pid', 'tid', *required]
    return {'type': 'object', 'properties': COMMON | properties, 'required': required, 'additionalProperties': False}


TRACE_EVENT_FORMAT = {
    'type': 'object',
    'properties': {
        'traceEvents': {
            'type': 'array',
            'items': {'oneOf': [event(SLICE, 'ts', 'dur'), event(COUNTER, 'ts', 'args'), event(METADATA, 'args')]},
        },
        'displayTimeUnit': {'enum': ['ms', 'ns']},
        'otherData': {'type': 'object'},
    },
    'required': ['traceEvents'],
    'additionalProperties': False,
}


def check(trace: dict) -> None:
    """Check the format, and that slices of a track nest: the format lets no two of them overlap otherwise."""
    jsonschema.validate(trace, TRACE_EVENT_FORMAT)
    tracks = defaultdict(list)
    for each in trace['traceEvents']:
        if each['ph'] == 'X':
            begin = round(each['ts'] * 1000)  # nanoseconds
            tracks[each['pid'], each['tid']].append((begin, begin + round(each['dur'] * 1000)))
    for slices in tracks.values():
        open_until = []
        for begin, end in sorted(slices, key=lambda each: (each[0], -each[1])):
            while open_until and open_until[-1] <= begin:
                open_until.pop()
            assert not open_until or end <= open_until[-1]
            open_until.append(end)


def sums_ms(trace: dict, **args) -> dict[tuple[str, str], float]:
    """Return the milliseconds of all slices by name and category, of the events that have ``args``."""
    sums = defaultdict(float)
    for each in trace['traceEvents']:
        if each['ph'] == 'X' and args.items() <= each['args'].items():
            sums[each['name'], each.get('cat')] += each['dur'] / 1e3
    return sums


def assert_equal_to_record(trace: dict, record: dict) -> None:
    """Check that the slices of an iteration sum to its record, to 0.1 % or the record's last digit."""
    sums = sums_ms(trace, iteration=record['iteration'])
    for name, phases in (record['stages'] | record['parts']).items():
        for phase in PHASES:
            assert sums.get((name, phase), 0.0) == pytest.approx(phases.get(f'{phase}_ms', 0.0), rel=1e-3, abs=1e-4)
    whole = sums[f'iteration {record["iteration"]}', None]
    assert whole == pytest.approx(record['iteration_ms'], rel=1e-3, abs=1e-4)


OWNERS = [
    Owner('data'),
    Owner('other'),
    Owner('stage1'),
    Owner('stage1', '/mlp'),
    Owner('stage1', '/mlp', 'recompute'),
    Owner('stage1', '/mlp', 'backward'),
    Owner('stage1', None, 'backward'),
    Owner('stage2', '/mlp'),
    Owner('communication', None, 'backward'),
    Owner('optimizer'),
]


def sample_of(lengths, **fields):
    """Return a sample of stretches with an owner each."""
    fields = {'iteration': 1, 'rank': 0, 'began_us': 1_700_000_000_000_000} | fields
    spans, start, times = [], 0.0, {}
    for owner, ms in lengths:
        spans.append(Span(owner, start, ms))
        start += ms
        times[owner] = times.get(owner, 0.0) + ms
    return Sample(iteration_ms=start, times=times, clips=2, frames=6, spans=spans, **fields)


def run_line(rank=0, **fields):
    return RunLine(version=1, rank=rank, world_size=1, stages=['stage1'], device={'name': 'GPU'}, **fields)


def written(path, *samples, run=None):
    write_trace(path, trace_of(samples, run or run_line(samples[0].rank)))
    return json.loads(gzip.decompress(path.read_bytes()))


lengths = st.lists(st.tuples(st.sampled_from(OWNERS), st.floats(0, 1e3)), min_size=1, max_size=30)


@given(st.lists(lengths, min_size=1, max_size=4), st.integers(0, 10_000_000))
def test_whatever_happens_slices_nest_and_sum_to_the_records(iterations, apart_us):
    samples = [sample_of(each, iteration=i, began_us=i * apart_us) for i, each in enumerate(iterations, start=1)]
    trace = to_json(trace_of(samples, run_line()))
    check(trace)
    for sample in samples:
        assert_equal_to_record(trace, {'parts': {}} | to_json(sample_line(sample)))


def to_json(struct):
    return json.loads(msgspec.json.encode(struct))


def test_the_tracks_of_an_iteration(tmp_path):
    trace = written(tmp_path / 'trace.json.gz', sample_of([(owner, 1.0) for owner in OWNERS], iteration=7, loss=0.5))
    tracks = {each['tid']: each['args']['name'] for each in trace['traceEvents'] if each['name'] == 'thread_name'}
    assert list(tracks.values()) == list(TRACKS)
    slices = [
        (tracks[each['tid']], each['name'], each['ts'], each['dur'])
        for each in trace['traceEvents']
        if each['ph'] == 'X'
    ]
    assert slices == [
        ('iteration', 'iteration 7', 0, 10e3),
        ('data', 'data', 0, 1e3),
        ('other', 'other', 1e3, 1e3),
        ('forward', 'stage1', 2e3, 2e3),
        ('forward', 'stage1/mlp', 3e3, 1e3),
        ('recompute', 'stage1', 4e3, 1e3),
        ('recompute', 'stage1/mlp', 4e3, 1e3),
        ('backward', 'stage1', 5e3, 2e3),
        ('backward', 'stage1/mlp', 5e3, 1e3),
        ('forward', 'stage2', 7e3, 1e3),
        ('forward', 'stage2/mlp', 7e3, 1e3),
        ('communication', 'communication', 8e3, 1e3),
        ('optimizer', 'optimizer', 9e3, 1e3),
    ]
    (iteration,) = (each for each in trace['traceEvents'] if each['name'] == 'iteration 7')
    assert iteration['args'] == {'iteration': 7, 'clips': 2, 'frames': 6, 'loss': 0.5}
    assert trace['otherData'] == {'began_us': 1_700_000_000_000_000, 'device': 'GPU'}


def test_counters_of_memory_and_of_the_forward_rate(tmp_path):
    lengths = [(Owner('stage1'), 4.0), (Owner('stage1', '/mlp'), 4.0), (Owner('stage1', None, 'backward'), 2.0)]
    sample = sample_of(lengths)
    memory = [100.0, 150.5, 150.5]
    spans = [span._replace(memory_mib=mib) for span, mib in zip(sample.spans, memory, strict=True)]
    sample = Sample(**{name: getattr(sample, name) for name in sample.__struct_fields__} | {'spans': spans})
    run = run_line(costs={'stage1': CountedCost(gmacs=3.0), 'stage9': CountedCost(gmacs=1.0)})
    trace = written(tmp_path / 'trace.json.gz', sample, run=run)
    check(trace)
    counters = [(each['name'], each['ts'], each['args']) for each in trace['traceEvents'] if each['ph'] == 'C']
    assert counters == [
        ('memory', 0, {'MiB': 100.0}),
        ('memory', 4e3, {'MiB': 150.5}),
        ('forward pass', 0, {'GFLOP/s': 1500.0}),  # 2 clips of 6 GFLOP in 8 ms
        ('forward pass', 8e3, {'GFLOP/s': 0.0}),
    ]


def test_where_the_device_may_have_waited_for_the_host(tmp_path):
    spans = [Span(Owner('stage1'), 0.0, 4.0, 3.0), Span(Owner('stage2'), 4.0, 4.0, 0.0)]
    sample = Sample(iteration=1, iteration_ms=8.0, times={}, clips=1, frames=1, spans=spans)
    trace = written(tmp_path / 'trace.json.gz', sample)
    check(trace)
    assert sums_ms(trace)['stage1', 'host-bound'] == 3.0
    assert ('stage2', 'host-bound') not in sums_ms(trace)


def test_ranks_are_processes_on_one_axis_of_time(tmp_path):
    for rank, began_us in ((0, 5_000), (1, 3_000), (10, 4_500)):
        name = 'trace.json.gz' if rank == 0 else f'trace_rank{rank}.json.gz'
        written(tmp_path / name, sample_of([(Owner('stage1'), 1.0)], rank=rank, began_us=began_us))
    merged = to_json(merged_trace(traces_of(tmp_path)))
    check(merged)
    starts = {each['pid']: each['ts'] for each in merged['traceEvents'] if each['name'] == 'stage1'}
    assert starts == {0: 2000.0, 1: 0.0, 10: 1500.0}
    names = [each['args']['name'] for each in merged['traceEvents'] if each['name'] == 'process_name']
    assert names == ['rank 0', 'rank 1', 'rank 10']
    assert merged['otherData']['began_us'] == 3_000


def test_a_loss_that_is_not_finite_is_null(tmp_path):
    trace = written(tmp_path / 'trace.json.gz', sample_of([(Owner('stage1'), 1.0)], loss=math.nan))
    check(trace)


def test_a_folder_without_a_trace_and_a_damaged_trace_are_named(tmp_path):
    with pytest.raises(LogError, match=r'no trace in .*default_hooks\.stage_cost\.trace'):
        traces_of(tmp_path)
    path = tmp_path / 'trace.json.gz'
    whole = gzip.compress(b'{"traceEvents": [], "otherData": {"began_us": 0}}')
    for damaged in (b'', b'{}', whole[:-12], gzip.compress(b'[]'), gzip.compress(b'\xff')):
        path.write_bytes(damaged)
        with pytest.raises(LogError, match=r'trace\.json\.gz: not a trace'):
            merged_trace([path])
    path.write_bytes(whole)
    assert merged_trace([path]).traceEvents == []


def test_an_error_leaves_the_trace_before(tmp_path, monkeypatch):
    path = tmp_path / 'trace.json.gz'
    before = written(path, sample_of([(Owner('stage1'), 1.0)]))
    monkeypatch.setattr(gzip, 'compress', lambda data, mtime: 'no bytes')
    with pytest.raises(TypeError):
        write_trace(path, trace_of([sample_of([(Owner('stage2'), 1.0)])], run_line()))
    assert json.loads(gzip.decompress(path.read_bytes())) == before
    assert [each.name for each in tmp_path.iterdir()] == ['trace.json.gz']
