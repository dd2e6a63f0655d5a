import pytest
import torch

from vrtspike.errors import CheckpointError
from vrtspike.models import published_layout as published
from vrtspike.models.published_layout import convert_file, differences, to_ours, to_published
from vrtspike.runtime.checkpoint_files import load_checkpoint_file

NETWORK = {'conv_first.weight': torch.tensor([1.0, float('nan')]), 'stage1.linear1.bias': torch.arange(3)}
RESTORER = {f'backbone.{name}': tensor for name, tensor in NETWORK.items()}


def saved_file(path, **content):
    torch.save(content, path)
    return path


def assert_same(found, expected):
    assert list(found) == list(expected)
    assert differences(found, expected) == []


def test_both_ways(tmp_path):
    source = saved_file(tmp_path / 'a.pth', params=NETWORK)
    assert convert_file(source, tmp_path / 'b.pth', 'ours') == (2, 0)
    assert_same(load_checkpoint_file(tmp_path / 'b.pth')['state_dict'], RESTORER)
    assert convert_file(tmp_path / 'b.pth', tmp_path / 'c.pth', 'published') == (2, 0)
    assert_same(load_checkpoint_file(tmp_path / 'c.pth')['params'], NETWORK)


def test_the_spike_side_is_left_out_and_counted(tmp_path):
    source = saved_file(tmp_path / 'a.pth', state_dict=RESTORER | {'fusion.stage1.w': torch.ones(1)}, optimizer={})
    assert convert_file(source, tmp_path / 'b.pth', 'published') == (2, 1)
    assert_same(load_checkpoint_file(tmp_path / 'b.pth')['params'], NETWORK)


def test_the_wrong_layout_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"found names that begin with 'backbone\.'"):
        to_ours(RESTORER)
    with pytest.raises(CheckpointError, match=r"begin with 'backbone\.'; found conv_first\.weight"):
        to_published(NETWORK)
    source = saved_file(tmp_path / 'a.pth', params=NETWORK)
    with pytest.raises(CheckpointError, match='expected a restorer'):
        convert_file(source, tmp_path / 'b.pth', 'published')
    assert not (tmp_path / 'b.pth').exists()


def test_a_checkpoint_is_not_written_over_itself(tmp_path):
    source = saved_file(tmp_path / 'a.pth', params=NETWORK)
    with pytest.raises(CheckpointError, match='is the checkpoint itself'):
        convert_file(source, source, 'ours')


def test_what_does_not_convert_back_is_not_written(tmp_path, monkeypatch):
    def lossy(weights):
        return {f'backbone.{name}': tensor.half() for name, tensor in weights.items()}

    monkeypatch.setitem(published.LAYOUTS, 'ours', (lossy, to_published, 'state_dict'))
    source = saved_file(tmp_path / 'a.pth', params=NETWORK)
    with pytest.raises(CheckpointError, match=r'do not survive the conversion: conv_first\.weight, stage1'):
        convert_file(source, tmp_path / 'b.pth', 'ours')
    assert [path.name for path in tmp_path.iterdir()] == ['a.pth']


@pytest.mark.parametrize(
    'changed', [torch.tensor([1.0, 2.0]), torch.tensor([[1.0, float('nan')]]), torch.tensor([1.0, float('nan')]).half()]
)
def test_differences_see_values_shapes_and_types(changed):
    assert differences(NETWORK | {'conv_first.weight': changed}, NETWORK) == ['conv_first.weight']
