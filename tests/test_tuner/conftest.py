"""A measurer whose times are known, and what a whole search found with it."""

import time

import pytest

from vrtspike.datasets import write_demo
from vrtspike.registry import TRANSFORMS
from vrtspike.tuner.candidates import CHANGES, EXACT, PRECISION, Remedy
from vrtspike.tuner.search import combine

SAVINGS = {'chunks': 0.5, 'idle': 0.001, 'amp': 0.3, 'shallow': 0.4, 'student': 0.8, 'slower': -0.2}
KINDS = dict(chunks=EXACT, idle=EXACT, slower=EXACT, amp=PRECISION, shallow=CHANGES, student=CHANGES)
OVERRIDES = {
    'chunks': {'model.fusion.chunk_size': 256},
    'idle': {'model.backbone.attn_type': 'sdpa'},
    'slower': {'model.backbone.checkpointing': 'none'},
    'amp': {'optim_wrapper.type': 'DeviceAmpOptimWrapper', 'optim_wrapper.dtype': 'auto'},
    'shallow': {'model.backbone.depths': [1, 1]},
    'student': {'model.backbone': {'_delete_': True, 'type': 'VRTLite'}},
}


class PlantedMeasurer:
    """Measures overrides whose remedies have known factors; pairs may have an interaction."""

    def __init__(self, interactions=None):
        self.interactions = interactions or {}
        self.calls = []

    def __call__(self, name, overrides):
        self.calls.append(name)
        parts = [part for part in SAVINGS if OVERRIDES[part].items() <= overrides.items()]
        left = 1.0
        for part in parts:
            left *= 1 - SAVINGS[part]
        for pair, factor in self.interactions.items():
            left *= factor if set(pair) <= set(parts) else 1.0
        return trial(name, overrides, 1 - left)


def trial(name, overrides, saving):
    """A trial as the measurer returns it."""
    return {
        'name': name, 'overrides': overrides, 'saving': saving, 'interval': [saving - 0.01, saving + 0.01],
        'ms_per_sample': 100 * (1 - saving), 'default_ms_per_sample': 100.0, 'predicted_saving': saving / 2,
        'peak_memory_mib': 500.0 * (1 - saving / 2), 'gmacs': 1.0,
    }  # fmt: skip


def db(mean, informative=True):
    """A difference in dB as an ablation gives it."""
    verdict = 'no difference seen' if informative else 'not informative'
    return {'mean': mean, 'low': mean - 0.1, 'high': mean + 0.1, 'seeds': [0, 1, 2], 'verdict': verdict, 'why': ''}


@pytest.fixture
def single():
    """Return the trials of remedies by name, alone."""

    def make(*names, **extra):
        measure = PlantedMeasurer()
        return [{**measure(name, OVERRIDES[name]), 'kind': KINDS[name], 'most': 0.9, **extra} for name in names]

    return make


@pytest.fixture
def found(single, tmp_path):
    """What a search found: one exact remedy, AMP, a shallower network taken, one that did nothing, two not tried."""
    chunks, amp, idle, slower, shallow = single('chunks', 'amp', 'idle', 'slower', 'shallow')
    shallow['difference_db'] = db(-0.05)
    kept, steps = combine([chunks, amp, shallow], PlantedMeasurer({('amp', 'shallow'): 1.1}))
    assert [part['name'] for part in kept] == ['chunks', 'amp', 'shallow']
    missing = [
        {'name': 'cuda_graphs', 'kind': EXACT, 'overrides': {}, 'skipped': 'no_graphs', 'most': 0.9},
        {'name': 'no_tsa', 'kind': CHANGES, 'overrides': {}, 'skipped': 'small_share', 'most': 0.004},
        {'name': 'flow', 'kind': PRECISION, 'overrides': {}, 'failure': 'a | b'},
    ]
    variants = [
        {'name': 'reference', 'overrides': {}, 'gain_db': {'mean': 2.7}, 'runs': [{'seed': seed} for seed in range(3)]},
        {'name': 'shallow', 'overrides': OVERRIDES['shallow'], 'gain_db': {'mean': 2.65}},
    ]
    return {
        'config': 'planted', 'config_path': 'configs/planted.py', 'objective': 'train', 'shape': [1, 5, 32, 32],
        'cpu_overrides': True, 'max_loss_db': 0.3, 'memory_gib': None, 'minutes': 3.0,
        'common': {'data.type': 'DemoClips', 'data.side': [1, 2]}, 'plugins': ['residual_cnn'], 'iterations': 9,
        'seeds': [0, 1, 2], 'command': ['python', 'tools/optimize.py', 'configs/planted.py'], 'folder': str(tmp_path),
        'versions': {'torch': '2'}, 'device': {'type': 'cpu', 'name': 'a <quick> processor'}, 'commit': None,
        'default_memory_mib': 500.0, 'published': trial('published_path', {}, -0.25),
        'profile': {
            'bottlenecks': [
                {'stage': 'fuse1', 'share': 0.6, 'share_interval': [0.55, 0.65]},
                {'stage': 'stage1', 'share': 0.2, 'share_interval': None},
            ],
            'roofline': {'fuse1': {'efficiency': 0.03, 'bound': 'memory'}},
        },
        'trials': [chunks, amp, idle, slower, shallow, *missing], 'steps': steps, 'together_db': db(-0.08),
        'quality': {'iterations': 9, 'seeds': [0, 1, 2], 'variants': variants}, 'no_quality': '',
        'output': {'path': 'planted_optimized.py', 'text': 'model = dict(a=1)\n', 'overrides': {}},
    }  # fmt: skip


DEMO = dict(train_clips=2, val_clips=1, size=32, steps_per_frame=32)


class SlowRead:
    """A transform that waits, as for a slow disk."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self, sample: dict) -> dict:
        time.sleep(self.seconds)
        return sample


@pytest.fixture
def slow_clips(tmp_path):
    """Overrides of a config: a network of a few thousand parameters, and clips that are slow to read."""
    TRANSFORMS.register_module(module=SlowRead, force=True)
    pipeline = [
        dict(type='SlowRead', seconds=0.1),
        dict(type='PairedRandomCrop', size=16),
        dict(type='BinSpikes', representation=dict(type='Voxel', bins=32)),
        dict(type='PackClip'),
    ]
    root = str(write_demo(tmp_path / 'demo', **DEMO, progress=False))
    yield {
        'model.backbone': {'_delete_': True, 'type': 'VRTLite', 'embed_dims': [8] * 7, 'depths': [1] * 7},
        'model.spike_encoder.channels': 8,
        'default_hooks.freeze': None,
        **{f'data.{key}': value for key, value in dict(root=root, **DEMO).items()},
        'train_dataloader.batch_size': 2,
        'train_dataloader.num_workers': 0,
        'train_dataloader.persistent_workers': False,
        'train_dataloader.dataset.clip_len': 3,
        'train_dataloader.dataset.pipeline': pipeline,
    }
    TRANSFORMS._module_dict.pop('SlowRead')


@pytest.fixture
def measurer():
    """Return the class of measurers with planted gains; optionally {pair: factor}."""
    return PlantedMeasurer


@pytest.fixture
def difference():
    """Return a function from dB to a difference as an ablation gives it."""
    return db


@pytest.fixture
def remedy():
    """Return the remedies of the planted gains by name."""
    return lambda name, **more: Remedy(name, KINDS[name], OVERRIDES[name], **more)
