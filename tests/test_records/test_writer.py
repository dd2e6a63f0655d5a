import json
from importlib.resources import files

import jsonschema
import pytest

from vrtspike.records.reader import decode_record
from vrtspike.records.stage_costs import Owner, Sample
from vrtspike.records.writer import line_of, sample_line

SCHEMA = json.loads(files('vrtspike.records').joinpath('stage_costs.schema.json').read_text(encoding='utf-8'))


def sample_record(sample: Sample, order: tuple[str, ...] = ()) -> dict:
    """Return the record of a sample as it is written."""
    return json.loads(line_of(sample_line(sample, order)))


TIMES = {
    Owner('data'): 1.00004,
    Owner('stage1', '/mlp', 'recompute'): 2.0,
    Owner('stage1'): 3.0,
    Owner('stage1', '/mlp', 'forward'): 4.0,
    Owner('other', None, 'backward'): 5.0,
}


def test_a_record_in_the_order_of_the_run():
    sample = Sample(iteration=3, iteration_ms=15.0, times=TIMES, clips=2, frames=10, loss=0.5)
    record = sample_record(sample, ('other', 'stage1', 'stage2'))
    head = dict(kind='sample', iteration=3, rank=0, iteration_ms=15.0, clips=2, frames=10, loss=0.5, memory_mib=None)
    assert record == head | {
        'stages': {
            'other': {'backward_ms': 5.0},
            'stage1': {'forward_ms': 7.0, 'recompute_ms': 2.0},
            'data': {'forward_ms': 1.0},
        },
        'parts': {'stage1/mlp': {'forward_ms': 4.0, 'recompute_ms': 2.0}},
    }
    assert list(record['stages']) == ['other', 'stage1', 'data']
    jsonschema.validate(record, SCHEMA)


def test_memory_is_part_of_a_stage():
    memory = {'peak_mib': {'stage1': 10.04}, 'allocated_mib': {'stage1': -1.0}}
    sample = Sample(iteration=1, iteration_ms=15.0, times=TIMES, clips=1, frames=5, **memory)
    record = sample_record(sample)
    assert record['stages']['stage1'] | {'peak_mib': 10.0, 'allocated_mib': -1.0} == record['stages']['stage1']
    jsonschema.validate(record, SCHEMA)


def test_host_bound_time_is_part_of_a_stage():
    sample = Sample(iteration=1, iteration_ms=15.0, times=TIMES, clips=1, frames=5, host_bound_ms={'stage1': 1.23456})
    record = sample_record(sample)
    assert record['stages']['stage1']['host_bound_ms'] == 1.2346
    assert 'host_bound_ms' not in record['stages']['data']
    jsonschema.validate(record, SCHEMA)


@pytest.mark.parametrize('change', [{'iteration': 0}, {'stages': {'a': {'forward_ms': -1}}}, {'surprise': 1}])
def test_the_schema_refuses_what_is_no_record(change):
    record = sample_record(Sample(iteration=1, iteration_ms=15.0, times=TIMES, clips=1, frames=5)) | change
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(record, SCHEMA)


def test_what_is_written_is_what_is_read(made_up):
    sample = Sample(iteration=1, iteration_ms=15.0, times=TIMES, clips=1, frames=5, peak_mib={'stage1': 10.0})
    line = sample_line(sample)
    assert line_of(decode_record(line_of(line).encode())) == line_of(line)
    run = decode_record(json.dumps(made_up.run_line()).encode())
    assert json.loads(line_of(run))['costs']['stage1']['gmacs'] == made_up.COSTS['stage1']['gmacs']
    jsonschema.validate(json.loads(line_of(run)), SCHEMA)


def test_a_phase_of_no_time_is_written_and_one_that_a_stage_lacks_is_not():
    record = sample_record(Sample(iteration=1, iteration_ms=0.0, times={Owner('flow'): 0.0}, clips=1, frames=5))
    assert record['stages'] == {'flow': {'forward_ms': 0.0}}
