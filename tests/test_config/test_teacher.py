"""A config that names its teacher by a config file gets the teacher's model."""

from pathlib import Path

import pytest
from mmengine.config import Config

from vrtspike.config import load_config
from vrtspike.config.reading import read_config
from vrtspike.config.teacher import resolve_teacher
from vrtspike.errors import ConfigError

ROOT = Path(__file__).parents[2]


def student(teacher):
    return Config(dict(model=dict(type='Student', teacher=teacher)))


def test_the_path_is_replaced_by_the_model_of_that_config_wherever_one_works(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    config = student('configs/vrt_spike_lite.py')
    resolve_teacher(config, read_config)
    assert config.model.teacher == read_config(ROOT / 'configs/vrt_spike_lite.py').model


def test_a_node_stays_as_it_is():
    config = student(dict(type='Teacher'))
    resolve_teacher(config, read_config)
    assert config.model.teacher == dict(type='Teacher')


def test_a_file_that_is_missing_or_wrong_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"model\.teacher: 'absent\.py' is not a file"):
        resolve_teacher(student('absent.py'), read_config)
    teacher, path = tmp_path / 'wrong.py', tmp_path / 'student.py'
    teacher.write_text('mode = 1')
    path.write_text(f"model = dict(type='Student', teacher={str(teacher)!r})")
    with pytest.raises(ConfigError, match=r'wrong\.py: 2 problems\n.*mode: no such top-level key'):
        load_config(path)
