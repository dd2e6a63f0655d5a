"""A backend of the visualizer that fails is a warning."""

import pytest
from mmengine.visualization import LocalVisBackend

from vrtspike.config import load_config
from vrtspike.engine import Visualizer
from vrtspike.hooks import observing
from vrtspike.registry import VISBACKENDS, VISUALIZERS


@pytest.fixture
def warnings(monkeypatch):
    found = []
    monkeypatch.setattr(observing, 'print_log', lambda message, *args: found.append(message))
    return found


@VISBACKENDS.register_module()
class BrokenBackend(LocalVisBackend):
    """As W&B without a login, or TensorBoard on a full disk."""

    def add_config(self, config, **kwargs):
        raise RuntimeError('api_key not configured\n  a long text')

    def add_scalars(self, scalars, step=0, file_path=None, **kwargs):
        raise OSError(28, 'No space left on device')


def test_the_others_get_what_a_broken_backend_does_not(tmp_path, warnings):
    kinds = [dict(type='BrokenBackend'), dict(type='LocalVisBackend')]
    visualizer = VISUALIZERS.build(dict(type='Visualizer', name='a', save_dir=str(tmp_path), vis_backends=kinds))
    assert type(visualizer) is Visualizer
    visualizer.add_config(load_config('configs/vrt_spike_tiny.py'))
    for step in (1, 2):
        visualizer.add_scalars({'loss': 1.0}, step=step)
    assert (tmp_path / 'vis_data/scalars.json').read_text().count('loss') == 2
    assert warnings == [
        'BrokenBackend failed (RuntimeError: api_key not configured): it lacks scalars or pictures of this run. '
        'The training continues.'
    ]
