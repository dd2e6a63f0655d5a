import json

import pytest

from vrtspike.analysis.readers import read_logs
from vrtspike.analysis.statistics.train_time import segments_of, train_time_text
from vrtspike.errors import LogError


@pytest.fixture
def log(made_up, tmp_path):
    return read_logs([made_up.write(tmp_path / 'scalars.json', made_up.scalars())], 'run')


def test_segments_end_with_validations(log):
    kind, segments = segments_of(log)
    assert kind == 'interval'
    assert list(segments) == ['1-10', '11-20', '21-30', '31-40']
    assert all(len(times) == 10 for times in segments.values())


def test_text(log):
    lines = train_time_text(log).splitlines()
    assert lines[0] == '-----Analyze train time of run-----'
    assert 'slowest interval' in lines[1]
    assert 'fastest interval' in lines[2]
    assert float(lines[4].split()[3]) == pytest.approx(0.505, abs=0.005)


def test_first_iterations_of_segments_are_left_out_unless_asked_for(log):
    assert 'slowest interval 1-10, average time is 0.65' in train_time_text(log, include_outliers=True)
    assert 'average time is 0.65' not in train_time_text(log)


def test_epochs(tmp_path):
    lines = [
        {'epoch': e, 'iter': i, 'step': 3 * e + i, 'lr': 1, 'loss': 1, 'time': 0.1 * (e + 1)}
        for e in (1, 2)
        for i in (1, 2, 3)
    ]
    path = tmp_path / 'scalars.json'
    path.write_text('\n'.join(map(json.dumps, lines)))
    text = train_time_text(read_logs([path]))
    assert 'slowest epoch 2, average time is 0.3000 s/iter' in text
    assert 'fastest epoch 1, average time is 0.2000 s/iter' in text
    assert 'time std over epochs is 0.0500' in text
    assert 'average iter time: 0.2500 s/iter' in text


def test_no_times(tmp_path):
    path = tmp_path / 'train.log'
    path.write_text('step 1/9 | loss=0.5 lr=1e-4\n')
    with pytest.raises(LogError, match='has no times'):
        segments_of(read_logs([path]))
