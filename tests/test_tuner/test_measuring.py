"""Measuring on a network of a few thousand parameters: times of a sample, records, what is measured again."""

import json
from contextlib import nullcontext
from pathlib import Path

import msgspec
import pytest
import torch

from vrtspike.errors import ConfigError
from vrtspike.tuner.measuring import Measurer, loader_of, restoring_memory, shape_of
from vrtspike.tuner.trials import Failed, Measured

TINY = str(Path(__file__).parents[2] / 'configs/vrt_spike_tiny.py')
SMALL = {
    'model.backbone': {'_delete_': True, 'type': 'VRTLite', 'embed_dims': [8] * 7, 'depths': [1] * 7},
    'model.spike_encoder.channels': 8,
    'default_hooks.freeze': None,
}
SHAPE = (2, 3, 16, 16)


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Return a function that makes measurers without measuring memory, which needs processes of their own."""
    monkeypatch.setattr(Measurer, 'memory', lambda self, config: 100.0)

    def measurer(shared_overrides=None, **more):
        load = loader_of(TINY, {**SMALL, **(shared_overrides or {})}, [], cpu=False)
        return Measurer(
            TINY, load, SHAPE, torch.device('cpu'), more.pop('objective', 'train'), tmp_path, rounds=2, **more
        )

    return measurer


@pytest.mark.parametrize('objective', ['train', 'infer'])
def test_a_trial_is_a_record_of_paired_rounds(make, tmp_path, objective):
    trial = make(objective=objective)('no_tsa', {'model.tsa': None})
    assert msgspec.json.decode((tmp_path / 'no_tsa.json').read_text(), type=Measured) == trial
    default, changed = trial.times_ms['default'], trial.times_ms['changed']
    savings = [1 - b / a for a, b in zip(default, changed, strict=True)]
    assert trial.interval == (min(savings), max(savings))
    assert trial.saving == pytest.approx(sum(savings) / 2)
    assert trial.ms_per_sample == pytest.approx(sum(changed) / 2 / SHAPE[0])
    assert trial.default_ms_per_sample == pytest.approx(sum(default) / 2 / SHAPE[0])
    assert 0 < trial.predicted_saving < 1
    assert trial.versions['torch'] == torch.__version__
    assert 'tsa=None' in (tmp_path / 'no_tsa.py').read_text()


def test_what_was_measured_is_not_measured_again(make, monkeypatch):
    trial = make()('no_tsa', {'model.tsa': None})
    invented = dict(saving=9.0, interval=(9.0, 9.0))
    monkeypatch.setattr(Measurer, '_measured', lambda self, *what: Measured(**self._provenance(*what), **invented))
    assert make()('no_tsa', {'model.tsa': None}) == trial
    assert make()('no_tsa', {'model.tsa': None, 'model.fusion_stages': [1]}).saving == 9.0
    assert make({'model.spike_encoder.channels': 16})('no_tsa', {'model.tsa': None}).saving == 9.0


def test_the_memory_of_the_default_is_measured_once(make, monkeypatch):
    assert make().default_memory() == 100.0
    monkeypatch.setattr(Measurer, 'memory', lambda self, config: 200.0)
    assert make().default_memory() == 100.0
    assert make(objective='infer').default_memory() == 200.0


def test_what_cannot_run_is_a_failure_and_not_an_end(make, tmp_path):
    trial = make()('bad', {'model.fusion.type': 'GatedFsion'})
    assert 'problem' in trial.failure
    assert isinstance(trial, Failed)
    assert json.loads((tmp_path / 'bad.json').read_text())['failure'] == trial.failure


@pytest.mark.parametrize(
    ('error', 'said'),
    [
        (ConfigError('no such part'), 'no such part'),
        (ValueError('\nodd\neven'), 'ValueError: odd'),
        (AssertionError(), 'AssertionError: '),
    ],
)
def test_what_failed_is_tried_again(make, monkeypatch, error, said):
    def fail(self, *what):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Measurer, '_times', fail)
        assert make()('no_tsa', {'model.tsa': None}).failure == said
    assert isinstance(make()('no_tsa', {'model.tsa': None}), Measured)


def test_what_was_compiled_for_another_trial_is_forgotten(make, monkeypatch):
    import torch._dynamo

    forgotten = []
    monkeypatch.setattr(torch.compiler, 'reset', lambda: forgotten.append(True))
    make()('no_tsa', {'model.tsa': None})
    assert forgotten == [True]


def test_restoring_is_timed_in_the_precision_of_its_tiling(make, monkeypatch):
    used = []
    monkeypatch.setattr('torch.autocast', lambda *what, **more: used.append(what) or nullcontext())
    make(objective='infer')('amp', {'model.tiling.precision': 'bfloat16'})
    # A round to warm up and two timed ones, of the changed side alone.
    assert used == [('cpu', torch.bfloat16)] * 3


def test_memory_of_restoring_is_that_of_a_process():
    config = loader_of(TINY, SMALL, [], cpu=False)({})
    assert restoring_memory(config, (1, 2, 16, 16), 'cpu') > 10


def test_the_shape_is_that_of_training(make):
    config = loader_of(TINY, {**SMALL, 'train_dataloader.dataset.pipeline.0.size': [24, 32]}, [], cpu=False)({})
    assert shape_of(config) == (4, 5, 24, 32)


@pytest.mark.parametrize(
    ('overrides', 'message'),
    [
        ({'train_dataloader.dataset.pipeline': [dict(type='PackClip')]}, 'needs a crop'),
        ({'train_dataloader': None}, 'does not train'),
    ],
)
def test_a_config_whose_clips_have_no_size_is_an_error(overrides, message):
    config = loader_of(TINY, SMALL, [], cpu=False)({})
    config.merge_from_dict(overrides)
    with pytest.raises(ConfigError, match=message):
        shape_of(config)


def test_a_config_that_does_not_load_is_an_error():
    with pytest.raises(ConfigError):
        loader_of(TINY, {'model.nonsense': 1}, [], cpu=False)({})
