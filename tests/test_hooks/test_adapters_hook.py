import pytest
import torch

from vrtspike.models.adapter_files import merge_file
from vrtspike.models.lora import LoRA, adapt
from vrtspike.models.weights import load_matching, read_weights
from vrtspike.testing.sweep import tiny_restorer
from vrtspike.testing.training import train_briefly

CHECKPOINT = dict(type='SafeCheckpointHook', interval=2)
LORA = LoRA(['backbone.*.qkv_self', 'backbone.*.attn.proj'], rank=1, trained=['fusion'])


@pytest.fixture(scope='module')
def two_runs(tmp_path_factory):
    """The folders of a training of the spike side alone, and of one of adapters that starts from its weights."""
    folder = tmp_path_factory.mktemp('runs')
    freeze = dict(type='FreezeHook', names=['backbone'])
    train_briefly(folder / 'phase1', [freeze, CHECKPOINT], 2, model=tiny_restorer())
    model = tiny_restorer()
    adapt(model, LORA)
    load_matching(model, read_weights(folder / 'phase1/iter_2.pth'))
    train_briefly(folder / 'phase2', [dict(type='AdaptersHook'), CHECKPOINT], 2, model=model)
    return folder / 'phase1', folder / 'phase2'


def test_the_second_run_trains_what_it_says(two_runs):
    first, second = (read_weights(folder / 'iter_2.pth') for folder in two_runs)
    changed = {name for name in first if not torch.equal(first[name], second[name])}
    assert changed
    assert all(name.startswith('fusion.') for name in changed)
    assert {name for name in second if name not in first} == {
        name for name in second if name.endswith(('lora_A', 'lora_B', 'lora_scale'))
    }


def test_adapters_alone_and_the_weights_of_the_first_run_are_the_second_run(two_runs, tmp_path):
    first, second = two_runs
    adapters = read_weights(second / 'adapters.pth')
    sizes = [
        sum(each.numel() for each in read_weights(path).values())
        for path in (second / 'adapters.pth', second / 'iter_2.pth')
    ]
    assert sizes[0] < sizes[1]
    assert not any(name.startswith('backbone.') and not name.rpartition('.')[2].startswith('lora') for name in adapters)
    merge_file(second / 'iter_2.pth', tmp_path / 'a.pth')
    merge_file(first / 'iter_2.pth', tmp_path / 'b.pth', second / 'adapters.pth')
    a, b = (read_weights(tmp_path / name) for name in ('a.pth', 'b.pth'))
    assert a.keys() == read_weights(first / 'iter_2.pth').keys()
    torch.testing.assert_close(a, b, rtol=0, atol=0)
