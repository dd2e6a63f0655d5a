import json
from importlib.resources import files

import jsonschema
import pytest

from vrtspike.profiling.timer import Owner
from vrtspike.records.writer import Sample, sample_record

SCHEMA = json.loads(files('vrtspike.records').joinpath('stage_costs.schema.json').read_text(encoding='utf-8'))

TIMES = {
    Owner('data'): 1.00004,
    Owner('stage1', '/mlp', 'recompute'): 2.0,
    Owner('stage1'): 3.0,
    Owner('stage1', '/mlp', 'forward'): 4.0,
    Owner('other', None, 'backward'): 5.0,
}


def test_a_record_in_the_order_of_the_run():
    record = sample_record(Sample(3, 15.0, TIMES, clips=2, frames=10, loss=0.5), ('other', 'stage1', 'stage2'))
    assert record == {
        'kind': 'sample', 'iteration': 3, 'rank': 0, 'iteration_ms': 15.0, 'clips': 2, 'frames': 10, 'loss': 0.5,
        'memory_mib': None,
        'stages': {
            'other': {'backward_ms': 5.0},
            'stage1': {'forward_ms': 7.0, 'recompute_ms': 2.0},
            'data': {'forward_ms': 1.0},
        },
        'parts': {'stage1/mlp': {'forward_ms': 4.0, 'recompute_ms': 2.0}},
    }  # fmt: skip
    assert list(record['stages']) == ['other', 'stage1', 'data']
    jsonschema.validate(record, SCHEMA)


def test_memory_is_part_of_a_stage():
    sample = Sample(1, 15.0, TIMES, clips=1, frames=5, peak_mib={'stage1': 10.04}, allocated_mib={'stage1': -1.0})
    record = sample_record(sample)
    assert record['stages']['stage1'] | {'peak_mib': 10.0, 'allocated_mib': -1.0} == record['stages']['stage1']
    jsonschema.validate(record, SCHEMA)


@pytest.mark.parametrize('change', [{'iteration': 0}, {'stages': {'a': {'forward_ms': -1}}}, {'surprise': 1}])
def test_the_schema_refuses_what_is_no_record(change):
    record = sample_record(Sample(1, 15.0, TIMES, clips=1, frames=5)) | change
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(record, SCHEMA)
