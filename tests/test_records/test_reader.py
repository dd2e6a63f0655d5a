import json

import pytest

from vrtspike.errors import LogError
from vrtspike.records.reader import decode_record, read_records
from vrtspike.records.stage_costs import RunLine, SampleLine, Times


def test_records_of_a_file(made_up, make_run):
    path = make_run('run', samples=3) / 'stage_costs.jsonl'
    run, *samples = read_records(path)
    assert isinstance(run, RunLine)
    assert run.stages == list(made_up.STAGES)
    assert run.costs['stage1'].gmacs == made_up.COSTS['stage1']['gmacs']
    assert [sample.iteration for sample in samples] == [3, 4, 5]
    assert all(isinstance(sample, SampleLine) for sample in samples)
    assert isinstance(samples[0].parts['stage1/attention'], Times)


def test_an_empty_line_is_no_record():
    assert decode_record(b' \n') is None


def test_the_damaged_line_is_named(made_up, tmp_path):
    path = made_up.write(tmp_path / 'a.jsonl', [made_up.run_line()])
    path.write_text(path.read_text() + '\n{"kind": "sam')
    with pytest.raises(LogError, match=r'a\.jsonl, line 3: not a record of stage costs'):
        list(read_records(path))


def test_a_line_of_an_unknown_version_is_damaged(made_up):
    with pytest.raises(LogError, match='version'):
        decode_record(json.dumps(made_up.run_line(version=2)).encode())
