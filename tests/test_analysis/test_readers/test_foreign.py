import json

import pytest

from vrtspike.analysis.readers import read_logs
from vrtspike.analysis.readers.foreign import hint_about
from vrtspike.errors import LogError

LINES = {
    'mmengine.log': ('2024/01/01 00:00:00 - mmengine - INFO - Iter(train) [ 50/700]', "MMEngine's text log"),
    'mmcv.log': ('2022-01-01 00:00:00,123 - mmdet - INFO - Epoch [1][50/250]', 'log.json beside it'),
    'trainer_state.json': ('{"log_history": [', 'Hugging Face'),
    'metrics.csv': ('epoch,loss,step', 'CSV'),
    'array.json': ('[{"step": 1, "loss": 1}]', 'one record per line'),
    'events.out.tfevents.1.host': ('x', 'TensorBoard'),
    'run-1.wandb': ('x', 'Weights & Biases'),
    'empty.json': ('', 'empty'),
    'binary.json': ('a\0b', 'binary'),
}


@pytest.mark.parametrize('name', LINES)
def test_logs_that_cannot_be_read_are_named(name, tmp_path):
    text, expected = LINES[name]
    (tmp_path / name).write_text(text)
    with pytest.raises(LogError, match=f'no record can be read.*{expected}'):
        read_logs([tmp_path / name])


def test_utf_16_of_powershell(tmp_path):
    (tmp_path / 'a.json').write_bytes(json.dumps({'step': 1, 'loss': 1}).encode('utf-16'))
    assert 'save it as UTF-8' in hint_about(tmp_path / 'a.json')


def test_a_folder_of_another_project_names_its_logs(tmp_path):
    (tmp_path / 'mmcv.log').write_text(LINES['mmcv.log'][0])
    with pytest.raises(LogError, match=r"holds no log that can be read.*mmcv.log: MMCV 1.x's text log"):
        read_logs([tmp_path])
