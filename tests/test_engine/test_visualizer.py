"""A backend of the visualizer that fails is a warning."""

import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.visualization import LocalVisBackend

from vrtspike.engine import Visualizer
from vrtspike.hooks import observing
from vrtspike.registry import VISBACKENDS, VISUALIZERS


@pytest.fixture
def warnings(monkeypatch):
    found = []
    monkeypatch.setattr(observing, 'print_log', lambda message, *args: found.append(message))
    return found


@VISBACKENDS.register_module()
class UnreachableBackend(LocalVisBackend):
    """As W&B without a login."""

    starts = 0

    def _init_env(self):
        self.starts += 1
        raise RuntimeError('api_key not configured\n  a long text')


@VISBACKENDS.register_module()
class FullBackend(LocalVisBackend):
    """As TensorBoard on a disk that is full for a while."""

    writes = 0

    def add_scalars(self, scalars, step=0, file_path=None, **kwargs):
        self.writes += 1
        if self.writes < 3:
            raise OSError(28, 'No space left on device')


def test_the_others_get_what_a_broken_backend_does_not(tmp_path, warnings):
    kinds = [dict(type='UnreachableBackend'), dict(type='FullBackend'), dict(type='LocalVisBackend')]
    with DefaultScope.overwrite_default_scope('vrtspike'):
        visualizer = VISUALIZERS.build(dict(type='Visualizer', name='a', save_dir=str(tmp_path), vis_backends=kinds))
    assert type(visualizer) is Visualizer
    visualizer.add_config(Config(dict(a=1)))
    for step in (1, 2, 3):
        visualizer.add_scalars({'loss': 1.0}, step=step)
    assert visualizer.get_backend('UnreachableBackend').starts == 1
    assert visualizer.get_backend('FullBackend').writes == 3
    assert (tmp_path / 'vis_data/scalars.json').read_text().count('loss') == 3
    rest = ': it lacks scalars or pictures of this run. The training continues.'
    assert warnings == [
        f'UnreachableBackend failed (RuntimeError: api_key not configured){rest}',
        f'FullBackend failed (OSError: [Errno 28] No space left on device){rest}',
    ]
