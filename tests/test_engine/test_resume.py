"""A resumed training is, number for number, the one that was never interrupted."""

import re
import shutil

import pytest
import torch

from vrtspike.engine import run_folder
from vrtspike.engine.run_folder import LATEST
from vrtspike.runtime.checkpoint_files import load_checkpoint_file

#: What differs between two equal runs: when, where and as what they ran.
OF_THE_RUN = ('time', 'experiment_name', 'cfg')


def same(one, other):
    """Return whether two nested values hold the same numbers and tensors."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@pytest.mark.parametrize(('saved_at', 'workers'), [(3, 0), (4, 2)], ids=['amid gradients', 'with workers'])
def test_everything_goes_on_as_if_never_interrupted(run_minimal, whole, logged, tmp_path, saved_at, workers):
    shutil.copy(whole / f'iter_{saved_at}.pth', tmp_path)
    run_minimal(tmp_path, LATEST, **{'train_dataloader.num_workers': workers})
    expected = logged(whole)
    assert logged(tmp_path) == {i: expected[i] for i in range(saved_at + 1, 7)}
    one, other = (load_checkpoint_file(run / 'iter_6.pth') for run in (whole, tmp_path))
    for part in ('state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers', 'waiting_gradients'):
        assert same(one.get(part), other.get(part)), part
    for key in ('samples_seen', 'iter'):
        assert one['message_hub']['runtime_info'][key] == other['message_hub']['runtime_info'][key]


def test_the_minimal_run_is_not_trivial(whole):
    """Stochastic depth draws, averaged weights differ, gradients wait: equality above is about all of them."""
    saved = {i: load_checkpoint_file(whole / f'iter_{i}.pth') for i in (3, 4, 6)}
    assert 'waiting_gradients' not in saved[4]
    assert any(gradient.abs().sum() > 0 for gradient in saved[3]['waiting_gradients'].values())
    averaged, last = saved[6]['state_dict'], saved[6]['ema_state_dict']
    assert any(not torch.equal(averaged[name], last[f'module.{name}']) for name in averaged)


def test_samples_are_counted_not_derived(run_minimal, whole, tmp_path):
    shutil.copy(whole / 'iter_4.pth', tmp_path)
    runner = run_minimal(tmp_path, LATEST, **{'train_dataloader.batch_size': 1})
    assert runner.message_hub.get_info('samples_seen') == 4 * 2 + 2 * 1
    assert runner.train_dataloader.sampler.position == 8


def test_a_damaged_newest_checkpoint_is_passed_over(run_minimal, whole, tmp_path, logged, monkeypatch):
    for i in (4, 5):
        shutil.copy(whole / f'iter_{i}.pth', tmp_path)
    content = bytearray((tmp_path / 'iter_5.pth').read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / 'iter_5.pth').write_bytes(content)
    said = []
    monkeypatch.setattr(run_folder, 'print_log', lambda message, *_, **__: said.append(message))
    run_minimal(tmp_path, LATEST)
    assert sorted(logged(tmp_path)) == [5, 6]
    assert len(said) == 1
    assert re.match(r'Skipped: checkpoint .*iter_5.pth .* checksum', said[0])
