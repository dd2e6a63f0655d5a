"""A measurer whose times are known, and what a whole search found with it."""

from pathlib import Path

import msgspec
import pytest

from vrtspike.analysis.statistics.roofline import RooflinePoint
from vrtspike.analysis.statistics.stage_shares import Bottleneck
from vrtspike.candidates import CHANGES, EXACT, PRECISION, Candidate
from vrtspike.datasets import write_demo
from vrtspike.experiments.record import AblationRecord, RunScores, VariantRecord
from vrtspike.experiments.statistics import Difference, Interval
from vrtspike.tuner.profile import Profile
from vrtspike.tuner.record import OutputConfig, SearchOptions, SearchRecord
from vrtspike.tuner.search import combine
from vrtspike.tuner.trials import Failed, Measured, Skipped, Trial

TINY = Path(__file__).parents[2] / 'configs/vrt_spike_tiny.py'
SAVINGS = {'chunks': 0.5, 'idle': 0.001, 'amp': 0.3, 'shallow': 0.4, 'student': 0.8, 'slower': -0.2}
FUSION_POINT = RooflinePoint(
    gmacs=1.0,
    mib=1.0,
    gmacs_per_s=1.0,
    macs_per_byte=1.0,
    compute_ms=0.1,
    memory_ms=0.3,
    bound='memory',
    efficiency=0.03,
    verdict='inefficient',
)
KINDS = dict(chunks=EXACT, idle=EXACT, slower=EXACT, amp=PRECISION, shallow=CHANGES, student=CHANGES)
OVERRIDES = {
    'chunks': {'model.tsa.chunk_size': 256},
    'idle': {'model.backbone.attn_type': 'sdpa'},
    'slower': {'model.backbone.checkpointing': 'none'},
    'amp': {'optim_wrapper.type': 'DeviceAmpOptimWrapper', 'optim_wrapper.dtype': 'auto'},
    'shallow': {'model.backbone.depths': [1, 1]},
    'student': {'model.backbone': {'_delete_': True, 'type': 'VRTLite'}},
}


class PlantedMeasurer:
    """Measures overrides of candidates with known factors; pairs may have an interaction."""

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
        return measured(name, overrides, 1 - left)


def measured(name, overrides, saving):
    """What a measurer returns."""
    return Measured(
        name=name,
        overrides=overrides,
        saving=saving,
        interval=(saving - 0.01, saving + 0.01),
        ms_per_sample=100 * (1 - saving),
        default_ms_per_sample=100.0,
        predicted_saving=saving / 2,
        peak_memory_mib=500.0 * (1 - saving / 2),
        gmacs=1.0,
    )


def db(mean, informative=True):
    """A difference in quality as an ablation gives it."""
    verdict = 'no difference seen' if informative else 'not informative'
    return Difference(mean=mean, low=mean - 0.1, high=mean + 0.1, seeds=[0, 1, 2], verdict=verdict, why='')


def alone(name, difference_db=None):
    """The trial of a candidate alone."""
    result = PlantedMeasurer()(name, OVERRIDES[name])
    return Trial(kind=KINDS[name], result=result, most=0.9, difference_db=difference_db)


@pytest.fixture
def single():
    """Return the trials of candidates by name, alone."""
    return lambda *names, **more: [alone(name, **more) for name in names]


def trained(name, overrides, gain_db):
    """A variant that was trained with three seeds."""
    unknown = dict.fromkeys(['failure', 'parameters', 'gmacs', 'iteration_ms', 'stage_ms', 'peak_memory_mib'])
    runs = [RunScores(seed=seed, psnr_db=25 + gain_db, gain_db=gain_db, commit=None) for seed in range(3)]
    scores = {'psnr_db': Interval(25 + gain_db), 'gain_db': Interval(gain_db), 'ssim': Interval()}
    return VariantRecord(name=name, overrides=overrides, **unknown, **scores, runs=runs)


@pytest.fixture
def found(tmp_path):
    """What a search found: an exact candidate, AMP, a shallower network taken, one that did nothing, two not tried."""
    chunks, amp, idle, slower = map(alone, ('chunks', 'amp', 'idle', 'slower'))
    shallow = alone('shallow', db(-0.05))
    combination = combine([chunks, amp, shallow], PlantedMeasurer({('amp', 'shallow'): 1.1}))
    assert [part.name for part in combination.kept] == ['chunks', 'amp', 'shallow']
    graphs = Skipped(name='cuda_graphs', overrides={}, skipped='no_graphs')
    no_tsa = Skipped(name='no_tsa', overrides={}, skipped='small_share')
    missing = [
        Trial(kind=EXACT, result=graphs, most=0.9),
        Trial(kind=CHANGES, result=no_tsa, most=0.004),
        Trial(kind=PRECISION, result=Failed(name='flow', overrides={}, failure='a | b')),
    ]
    quality = AblationRecord(
        config='configs/planted.py',
        shared_overrides={},
        seeds=[0, 1, 2],
        iterations=9,
        versions=None,
        device=None,
        commit=None,
        variants=[trained('reference', {}, 2.7), trained('shallow', OVERRIDES['shallow'], 2.65)],
    )
    return SearchRecord(
        config='planted',
        config_path='configs/planted.py',
        objective='train',
        shape=[1, 5, 32, 32],
        cpu_overrides=True,
        max_loss_db=0.3,
        memory_gib=None,
        minutes=3.0,
        shared_overrides={'data.type': 'DemoClips', 'data.side': [1, 2]},
        plugins=['fusion_strength'],
        iterations=9,
        seeds=[0, 1, 2],
        command=['python', 'tools/optimize.py', 'configs/planted.py'],
        folder=str(tmp_path),
        versions={'torch': '2'},
        device={'type': 'cpu', 'name': 'a <quick> processor'},
        commit=None,
        default_memory_mib=500.0,
        published=measured('published_path', {}, -0.25),
        profile=Profile(
            bottlenecks=[
                Bottleneck(stage='fuse1', share=0.6, share_interval=[0.55, 0.65]),
                Bottleneck(stage='stage1', share=0.2),
            ],
            roofline={'fuse1': FUSION_POINT},
        ),
        trials=[chunks, amp, idle, slower, shallow, *missing],
        steps=combination.steps,
        together_db=db(-0.08),
        quality=quality,
        why_unknown='',
        output=OutputConfig(path='planted_optimized.py', text='model = dict(a=1)\n', overrides={}),
    )


DEMO = dict(train_clips=2, val_clips=1, size=32, steps_per_frame=32)


@pytest.fixture(scope='session')
def demo(tmp_path_factory):
    """The folder of tiny clips."""
    return write_demo(tmp_path_factory.mktemp('data') / 'demo', **DEMO, progress=False)


@pytest.fixture
def small(demo):
    """Overrides of a config: a network of a few thousand parameters on tiny clips that the training process reads."""
    return {
        'model.backbone': {'_delete_': True, 'type': 'VRTLite', 'embed_dims': [8] * 7, 'depths': [1] * 7},
        'model.spike_encoder.channels': 8,
        'default_hooks.freeze': None,
        **{f'data.{key}': value for key, value in dict(root=str(demo), **DEMO).items()},
        'train_dataloader.batch_size': 2,
        'train_dataloader.num_workers': 0,
        'train_dataloader.persistent_workers': False,
        'train_dataloader.dataset.clip_len': 3,
    }


@pytest.fixture
def options(tmp_path):
    """Return a function from changed fields to the options of a search in ``tmp_path``."""

    def changed(**fields):
        given = dict(shared_overrides={}, plugins=[], minutes=1.0, max_loss_db=0.3, memory_gib=None, objective='train')
        given |= dict(iterations=None, seeds=[0, 1, 2], full_length=True, command=[])
        return SearchOptions(config_path=str(TINY), folder=str(tmp_path), **given | fields)

    return changed


@pytest.fixture
def measurer():
    """Return the class of measurers with planted gains; optionally {pair: factor}."""
    return PlantedMeasurer


@pytest.fixture
def difference():
    """Return a function from dB to a difference as an ablation gives it."""
    return db


@pytest.fixture
def candidate():
    """Return a function from a name to the candidate with that planted gain."""
    return lambda name, **more: Candidate(name=name, kind=KINDS[name], overrides=OVERRIDES[name], **more)


@pytest.fixture
def change():
    """Return a function that changes fields of a trial, or of its result."""

    def changed(trial, **fields):
        own = {key: value for key, value in fields.items() if key in ('kind', 'most', 'difference_db')}
        of_result = {key: value for key, value in fields.items() if key not in own}
        result = msgspec.structs.replace(trial.result, **of_result)
        return msgspec.structs.replace(trial, result=result, **own)

    return changed
