"""What a test reports of the training before it."""

import json

import pytest

from vrtspike.inference.results import training_stages

RUN = {'kind': 'run', 'version': 1, 'rank': 0, 'world_size': 1, 'stages': ['flow', 'stage1', 'communication']}


def sample(iteration, backward_ms):
    stages = {
        'stage1': {'forward_ms': 30.0, 'backward_ms': backward_ms},
        'flow': {'forward_ms': 10.0},
        'communication': {'forward_ms': 0.0},
    }
    head = {'kind': 'sample', 'iteration': iteration, 'rank': 0, 'clips': 1, 'frames': 5}
    return {**head, 'iteration_ms': 40.0 + backward_ms, 'stages': stages}


def write(folder, records):
    (folder / 'stage_costs.jsonl').write_text(''.join(json.dumps(record) + '\n' for record in records))
    return folder / 'iter_3.pth'


def test_medians_and_shares_of_stages_in_their_order(tmp_path):
    checkpoint = write(tmp_path, [RUN, *(sample(i, ms) for i, ms in enumerate([50.0, 60.0, 70.0]))])
    flow, stage1 = training_stages(checkpoint)
    assert (flow.stage, flow.forward_ms, flow.recompute_ms, flow.backward_ms) == ('flow', 10.0, 0.0, 0.0)
    assert (stage1.stage, stage1.forward_ms, stage1.recompute_ms, stage1.backward_ms) == ('stage1', 30.0, 0.0, 60.0)
    assert (flow.share, stage1.share) == (pytest.approx(0.1), pytest.approx(0.9))


@pytest.mark.parametrize('records', [None, [RUN]])
def test_nothing_measured_is_an_empty_list(tmp_path, records):
    checkpoint = tmp_path / 'iter_3.pth' if records is None else write(tmp_path, records)
    assert training_stages(checkpoint) == []
