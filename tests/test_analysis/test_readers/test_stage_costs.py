import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vrtspike
from vrtspike.analysis.logs import Source
from vrtspike.analysis.readers import read_logs, reading
from vrtspike.analysis.readers.reading import lines_beginning_in
from vrtspike.analysis.readers.stage_costs import read_lines
from vrtspike.errors import LogError
from vrtspike.records.stage_costs import PHASE_KEYS

SCHEMA = json.loads(Path(vrtspike.__file__).with_name('records').joinpath('stage_costs.schema.json').read_text())


def test_made_up_records_are_those_that_the_schema_describes(made_up):
    for line in (made_up.run_line(), *made_up.sample_lines(3)):
        jsonschema.validate(line, SCHEMA)


def test_values_arrive(made_up, make_run):
    log = read_logs([make_run('run', samples=50)])
    costs = log.costs()
    lines = list(made_up.sample_lines(50))
    assert costs.rows == 50
    assert log.stages() == list(made_up.STAGES)
    assert costs.column('iteration_ms') == pytest.approx([line['iteration_ms'] for line in lines])
    for name in made_up.STAGES:
        for key in PHASE_KEYS:
            expected = [line['stages'][name].get(key, 0.0) for line in lines]
            assert costs.column(f'stages/{name}/{key}') == pytest.approx(expected)
        totals = [sum(v for k, v in line['stages'][name].items() if k.endswith('_ms')) for line in lines]
        assert costs.column(f'stages/{name}/total_ms') == pytest.approx(totals)
    assert costs.highest('stages/stage8/peak_mib') == 4000.0
    assert costs.highest('stages/flow/peak_mib') is None
    assert costs.column('parts/stage1/attention/forward_ms').mean() == pytest.approx(30, rel=0.05)
    assert log.describe('precision') == 'float32'


DAMAGE = {
    'truncated': '{"kind":"sample","iteration":7,"rank":0,"iterat',
    'garbage': '\x00\x00 nonsense',
    'not a number': '{"kind":"sample","iteration":7,"rank":0,"iteration_ms":NaN,"clips":1,"frames":5,"stages":{}}',
    'negative': '{"kind":"sample","iteration":7,"rank":0,"iteration_ms":-1,"clips":1,"frames":5,"stages":{}}',
    'no stages': '{"kind":"sample","iteration":7,"rank":0,"iteration_ms":1,"clips":1,"frames":5}',
    'text for a time': '{"kind":"sample","iteration":7,"rank":0,"iteration_ms":"1","clips":1,"frames":5,"stages":{}}',
    'another kind': '{"kind":"simple","iteration":7}',
    'no JSON object': '[1, 2]',
    'deeply nested': '{"kind":"sample","x":' + '[' * 100_000,
    'huge integer': '{"kind":"sample","iteration":%s,"rank":0,"iteration_ms":1,"clips":1,"frames":5,"stages":{}}'
    % ('9' * 99),
    'huge time': '{"kind":"sample","iteration":7,"rank":0,"iteration_ms":1e300,"clips":1,"frames":5,"stages":{}}',
}


@pytest.mark.parametrize('damage', DAMAGE.values(), ids=DAMAGE.keys())
def test_damaged_lines_are_counted_and_left_out(damage, made_up):
    good = [json.dumps(line).encode() for line in (made_up.run_line(), *made_up.sample_lines(4))]
    chunk = read_lines([*good[:3], damage.encode(), *good[3:], b'\n'])
    assert (chunk.records, chunk.damaged, chunk.first_damaged) == (4, 1, 4)


def test_bytes_that_are_no_text_are_damage(made_up):
    chunk = read_lines([b'\xff\xfe\xfa', *(json.dumps(line).encode() for line in made_up.sample_lines(2))])
    assert (chunk.records, chunk.damaged) == (2, 1)


def test_null_where_memory_or_loss_was_not_known(made_up):
    lines = list(made_up.sample_lines(3))
    lines[0]['stages']['stage1']['peak_mib'] = None
    lines[1]['memory_mib'] = None
    lines[2]['loss'] = None
    table = read_lines(json.dumps(line).encode() for line in lines).starts[0][0].table
    assert table.number('stages/stage1/peak_mib') == 2
    assert table.number('memory_mib') == 2
    assert table.number('loss') == 2
    assert table.lowest('loss_not_finite_at') == lines[2]['iteration']


def test_stages_that_come_and_go(made_up):
    lines = list(made_up.sample_lines(6))
    for line in lines[::2]:
        line['stages']['communication'] = {'forward_ms': 6.0}
    table = read_lines(json.dumps(line).encode() for line in lines).starts[0][0].table
    assert table.rows == 6
    assert sorted(table.column('stages/communication/total_ms')) == [0, 0, 0, 6, 6, 6]


def test_ranks_are_told_apart_and_pooled_by_iteration(made_up, make_run):
    folder = make_run('run', samples=20)
    lines = [made_up.run_line(rank=1), *made_up.sample_lines(20, seed=1, rank=1)]
    made_up.write(folder / 'stage_costs_rank1.jsonl', lines)
    log = read_logs([folder])
    assert list(log.ranks()) == [0, 1]
    assert log.costs().rows == 40
    assert (np.diff(log.costs().column('iteration')) >= 0).all()


@pytest.mark.parametrize('size', [1, 100, 5000, 10**9])
def test_every_line_begins_in_exactly_one_chunk(size, make_run):
    path = make_run('run', samples=6) / 'stage_costs.jsonl'
    whole = path.read_bytes()
    steps = range(0, len(whole), size) if size > 1 else range(0, 300)
    chunks = [line for start in steps for line in lines_beginning_in(path, start, start + size)]
    lines = whole.splitlines(keepends=True)
    assert chunks == (lines if size > 1 else lines[:1])


def test_several_processes_read_what_one_reads(made_up, make_run, monkeypatch):
    path = make_run('run', samples=300) / 'stage_costs.jsonl'
    with open(path, 'a', encoding='utf-8') as file:
        file.write('{"kind": "sam')
    one = read_logs([path])
    monkeypatch.setattr(reading, 'CHUNK_BYTES', path.stat().st_size // 3)
    several = read_logs([path])
    assert vars(one.sources[0]) == vars(several.sources[0])
    assert (several.sources[0].damaged, several.sources[0].first_damaged) == (1, 302)
    assert one.descriptions == several.descriptions
    for name in one.costs().names:
        assert np.array_equal(one.costs().column(name), several.costs().column(name), equal_nan=True)
        assert one.costs().total(name) == pytest.approx(several.costs().total(name))


def test_a_source_counts_its_lines():
    source = Source('a')
    source.damage(3)
    source.damage(5)
    assert (source.damaged, source.first_damaged) == (2, 3)


def test_a_log_of_more_stages_than_any_network_has(made_up, monkeypatch):
    monkeypatch.setattr('vrtspike.analysis.statistics.samples.MOST_COLUMNS', 50)
    with pytest.raises(LogError, match='more than 50 quantities'):
        read_lines(json.dumps(line).encode() for line in made_up.sample_lines(3))


@given(
    st.lists(st.one_of(st.binary(max_size=60), st.sampled_from(sorted(DAMAGE.values())).map(str.encode)), max_size=6)
)
@settings(max_examples=60, deadline=None)
def test_any_bytes_are_damage(lines):
    chunk = read_lines(lines)
    assert (chunk.records, chunk.lines) == (0, len(lines))
    assert chunk.damaged <= len(lines)
