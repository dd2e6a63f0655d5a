"""A network with one stage that is slow on purpose: the instrument names it first, and its candidate wins.

Time is a fake clock that advances with every operator, so that nothing depends on the machine.
"""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from vrtspike.benchmarking.training_step import build
from vrtspike.candidates import CHANGES, EXACT
from vrtspike.config import load_config
from vrtspike.profiling.sampler import StageSampler
from vrtspike.tuner.choosing import choose
from vrtspike.tuner.measuring import Measurer, loader_of
from vrtspike.tuner.output_config import reasons_of
from vrtspike.tuner.run import quality_folder, write_output
from vrtspike.tuner.search import try_singly, winners
from vrtspike.tuner.setting import candidates_of
from vrtspike.tuner.trials import Measured, Skipped

TINY = str(Path(__file__).parents[2] / 'configs/vrt_spike_tiny.py')
CPU = torch.device('cpu')
SHAPE = (1, 2, 16, 16)
SMALL = {
    'model.backbone': {'_delete_': True, 'type': 'VRTLite', 'embed_dims': [8] * 7, 'depths': [1] * 7},
    'model.spike_encoder.channels': 8,
    'default_hooks.freeze': None,
}
DEEP = {**SMALL, 'model.backbone': {**SMALL['model.backbone'], 'depths': [1, 1, 60, 1, 1, 1, 1]}}
IN_CHUNKS = {'_delete_': True, 'type': 'TemporalCrossAttention', 'adaptive_chunk': False, 'chunk_size': 2}
CHUNKY = {**SMALL, 'model.fusion': IN_CHUNKS, 'model.fusion_stages': [1]}


class OperatorClock(TorchDispatchMode):
    """A clock that advances by a millisecond with every operator."""

    def __init__(self):
        super().__init__()
        self.ms = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.ms += 1
        return function(*args, **(kwargs or {}))


@pytest.fixture
def operator_clock(monkeypatch):
    """Let the instrument and the measurer read a clock that counts operators."""
    clock = OperatorClock()
    monkeypatch.setattr('vrtspike.profiling.timer.time', SimpleNamespace(perf_counter_ns=lambda: clock.ms * 10**6))
    monkeypatch.setattr('vrtspike.runtime.device.time', SimpleNamespace(perf_counter=lambda: clock.ms / 1e3))
    with clock:
        yield


def shares(config):
    """Return the stages' shares of a few training iterations, as the instrument measures them."""
    model, (batch, frames, height, width) = build(config), SHAPE
    bins = model.spike_encoder.bins
    inputs = {
        'blur': torch.rand(batch, frames, model.backbone.in_channels, height, width),
        'sharp': torch.rand(batch, frames, 3, height, width),
        'spikes': torch.rand(batch, frames, bins, height // 2, width // 2),
    }
    with StageSampler(model) as sampler:
        for i in range(3):
            sampler.start()
            sampler.batch_arrived()
            loss = model(**inputs, mode='loss')['loss']
            loss.backward()
            sampler.backward_over()
            sampler.optimizer_over()
            sampler.stop(loss, iteration=i, clips=batch, frames=frames)
        last = list(sampler.wait())[-1]
    stages = {name: sum(phases.values()) for name, phases in last.stages().items()}
    return {name: ms / last.iteration_ms for name, ms in stages.items()}


def search(overrides, folder, wanted):
    """Return the stages' shares and the trials of the candidates whose names ``wanted`` accepts."""
    load = loader_of(TINY, overrides, [], cpu=False)
    config = load({})
    found = shares(config)
    measure = Measurer(TINY, load, SHAPE, CPU, 'train', folder, rounds=2)
    candidates = [each for each in candidates_of(config, CPU, found, 'train') if wanted(each.name)]
    trials = try_singly(candidates, found, measure, lambda: True)
    return found, [trial for trial in trials if isinstance(trial.result, Measured)], measure


@pytest.fixture(autouse=True)
def _no_processes(monkeypatch):
    monkeypatch.setattr(Measurer, 'memory', lambda self, config: 100.0)


def names(choice):
    """Return the names of what was kept."""
    return [trial.name for trial in choice.combination.kept]


class KnownQuality:
    """Quality without training: a loss in dB by name."""

    why_unknown = ''
    failures: dict = {}  # noqa: RUF012 - nobody writes to it

    def __init__(self, difference, losses):
        self.difference, self.losses = difference, losses

    def __call__(self, trainings, reserve=0):
        known = [each.name for each in trainings if each.name in self.losses]
        return {name: self.difference(self.losses[name]) for name in known}

    def record(self):
        return None

    def seconds_left(self):
        return 1.0


@pytest.mark.usefixtures('operator_clock')
def test_a_deep_stage_is_named_first_and_its_depth_wins(tmp_path, difference, options):
    found, trials, measure = search(DEEP, tmp_path, lambda name: 'depth' in name or name == 'half_encoder')
    assert max(found, key=found.get) == 'stage3'
    best = winners(trials)[0]
    assert (best.name, best.kind) == ('stage3_half_depth', CHANGES)
    assert best.result.saving > 0.1
    chosen = choose(trials, measure, KnownQuality(difference, {'stage3_half_depth': -0.05}), options())
    assert names(chosen) == ['stage3_half_depth']
    assert chosen.combination.difference.mean == -0.05
    lossy = choose(trials, measure, KnownQuality(difference, {'stage3_half_depth': -0.5}), options())
    assert names(lossy) == []


@pytest.mark.usefixtures('operator_clock')
def test_small_chunks_are_named_first_and_larger_ones_win(tmp_path, difference, options):
    found, trials, measure = search(CHUNKY, tmp_path, lambda name: name in ('fusion_chunks', 'tsa_chunks', 'no_tsa'))
    assert max(found, key=found.get) == 'fuse1'
    best = winners(trials)[0]
    assert (best.name, best.kind) == ('fusion_chunks', EXACT)
    assert best.result.saving > 0.1
    assert best.result.predicted_saving == pytest.approx(0, abs=1e-6)
    chosen = choose(trials, measure, KnownQuality(difference, {}), options())
    assert names(chosen)[0] == 'fusion_chunks'


def loader_ms(sides, rounds):
    """Times of steps of 10 ms that wait for two clips; each takes a worker 100 ms, and workers read side by side."""
    return {name: [10 + 200 / max(1, side.loader.num_workers)] * rounds for name, side in sides.items()}


def test_slow_data_is_read_beside_the_step(tmp_path, small, monkeypatch, difference, options):
    monkeypatch.setattr('vrtspike.tuner.setting.usable_cores', lambda: 2)
    monkeypatch.setattr('vrtspike.tuner.measuring.interleaved_loader_ms', loader_ms)
    load = loader_of(TINY, small, [], cpu=False)
    config, waiting = load({}), {'data': 0.5, 'stage1': 0.5}
    measure = Measurer(TINY, load, (2, 3, 16, 16), CPU, 'train', tmp_path / 'trials', rounds=2)
    workers = [each for each in candidates_of(config, CPU, waiting, 'train') if each.name.startswith('data')]
    assert [each.name for each in workers] == ['data_workers_1', 'data_workers_2']
    (trial,) = try_singly(workers[1:], waiting, measure, lambda: True)
    assert trial.result.saving == pytest.approx(1 - 110 / 210)
    assert trial.result.default_ms_per_sample == 105
    assert trial.result.predicted_saving == 0
    asked = options(shared_overrides=small)
    chosen = choose([trial], measure, KnownQuality(difference, {}), asked)
    assert names(chosen) == ['data_workers_2']
    written = write_output(asked, chosen.combination)
    reason = r'# data_workers_2: \+\d\d% of the time saved alone .*, the same function\n +num_workers=2'
    assert re.search(reason, written.text)
    assert load_config(written.path).train_dataloader.persistent_workers


def test_workers_are_not_tried_where_nobody_waits(tmp_path, small, monkeypatch):
    monkeypatch.setattr('vrtspike.tuner.setting.usable_cores', lambda: 2)
    config, shares = loader_of(TINY, small, [], cpu=False)({}), {'data': 0.019, 'stage1': 0.9}

    def measure(name, overrides):
        raise AssertionError(name)

    workers = [each for each in candidates_of(config, CPU, shares, 'train') if each.name.startswith('data')]
    trials = try_singly(workers, shares, measure, lambda: True)
    assert all(isinstance(trial.result, Skipped) for trial in trials)
    assert [(trial.result.skipped, trial.most) for trial in trials] == [('small_share', 0.019)] * 2


def test_how_data_is_read_is_settled_first(single, measurer, difference, change, options):
    overrides = {'train_dataloader.num_workers': 2}
    (chunks,) = single('chunks')
    workers = change(chunks, name='data_workers_2', saving=0.1, interval=(0.09, 0.11), overrides=overrides)
    chosen = choose([chunks, workers], measurer(), KnownQuality(difference, {}), options())
    assert [step.added for step in chosen.combination.steps] == ['data_workers_2', 'chunks']


class AskedQuality(KnownQuality):
    """Keeps what was asked, in order, and how much shorter trainings were said to be."""

    def __init__(self, difference, losses):
        super().__init__(difference, losses)
        self.asked, self.savings = [], []

    def __call__(self, trainings, reserve=0):
        self.asked.append([training.name for training in trainings])
        self.savings += [training.saving for training in trainings]
        return super().__call__(trainings, reserve)


def test_lower_precision_is_trained_first(single, measurer, difference, options):
    quality = AskedQuality(difference, {'amp': -0.02, 'student': -1.0, 'amp+shallow': -0.12})
    found = choose(single('chunks', 'student', 'shallow', 'amp'), measurer(), quality, options())
    # What computes the same function has no part in the quality of the whole.
    assert quality.asked == [['amp', 'student'], ['amp'], ['amp+shallow']]
    assert names(found) == ['chunks', 'amp', 'shallow']
    assert found.combination.difference.mean == -0.12
    assert next(trial for trial in found.trials if trial.name == 'amp').difference_db.mean == -0.02


def test_a_network_that_was_trained_alone_after_all_is_told_so(single, measurer, difference, options):
    quality = AskedQuality(difference, {'student': -1.0, 'shallow': -0.12})
    found = choose(single('chunks', 'student', 'shallow'), measurer(), quality, options())
    assert quality.asked == [['student'], ['shallow']]
    losses = {trial.name: trial.difference_db for trial in found.trials}
    assert (losses['chunks'], losses['student'].mean, losses['shallow'].mean) == (None, -1.0, -0.12)
    reason = reasons_of(found.combination.kept, found.combination.trained_steps)['model.backbone.depths']
    assert reason == ('shallow: +40% of the time saved alone (+39% to +41%), with chunks +70%, -0.12 dB [-0.22, -0.02]')


@pytest.mark.parametrize(('objective', 'savings'), [('train', [0.8, 0.8]), ('infer', [0.0, 0.0])])
def test_what_restoring_saves_is_not_expected_of_trainings(single, measurer, difference, objective, savings, options):
    quality = AskedQuality(difference, {'student': 0.0})
    choose(single('student'), measurer(), quality, options(objective=objective))
    assert quality.savings == pytest.approx(savings)


def test_nothing_more_is_trained_where_no_difference_can_count(single, measurer, difference, options):
    class TooLittleGain(AskedQuality):
        def __call__(self, trainings, reserve=0):
            super().__call__(trainings)
            return {training.name: self.difference(0.0, informative=False) for training in trainings}

    quality = TooLittleGain(difference, {})
    assert names(choose(single('student', 'shallow'), measurer(), quality, options())) == []
    assert quality.asked == [['student']]


def test_nothing_is_added_to_what_is_of_unknown_quality(single, measurer, difference, change, options):
    quality = AskedQuality(difference, {'student': 0.0})  # but there is no time for both together
    (narrow,) = single('shallow')
    narrow = change(narrow, name='narrow', overrides={'model.tsa': None})
    found = choose([*single('amp', 'student'), narrow], measurer(), quality, options())
    assert quality.asked == [['amp', 'student'], ['amp+student']]
    assert [step.added for step in found.combination.steps] == ['amp', 'student']


def test_lower_precision_that_loses_too_much_are_not_taken(single, measurer, difference, options):
    quality = KnownQuality(difference, {'amp': -0.5})
    found = choose(single('chunks', 'amp'), measurer(), quality, options())
    assert names(found) == ['chunks']
    unknown = choose(single('chunks', 'amp'), measurer(), KnownQuality(difference, {}), options())
    assert names(unknown) == ['chunks', 'amp']


def test_the_choice_respects_memory(single, difference, options):
    def measure(name, overrides):
        raise AssertionError(name)

    chosen = choose(single('chunks'), measure, KnownQuality(difference, {}), options(memory_gib=0.1))
    assert names(chosen) == []
    chosen = choose(single('chunks'), measure, KnownQuality(difference, {}), options(memory_gib=1.0))
    assert names(chosen) == ['chunks']


def test_what_fits_is_taken_where_the_default_does_not(single, measurer, difference, options):
    slower, idle = single('slower', 'idle')  # 550 and 500 MiB
    quality = KnownQuality(difference, {})
    chosen = choose([slower, idle], measurer(), quality, options(memory_gib=0.53), default_memory_mib=600.0)
    assert names(chosen) == ['idle']
    assert [(step.added, step.kept) for step in chosen.combination.steps] == [('idle', True)]
    chosen = choose([slower], measurer(), quality, options(memory_gib=0.6), default_memory_mib=700.0)
    (reason,) = reasons_of(chosen.combination.kept, chosen.combination.trained_steps).values()
    assert reason == 'slower: -20% of the time saved alone (-21% to -19%), 550 MiB, the same function'
    chosen = choose([slower], measurer(), quality, options(memory_gib=0.53), default_memory_mib=600.0)
    assert names(chosen) == []
    chosen = choose([slower, idle], measurer(), quality, options(memory_gib=1.0), default_memory_mib=600.0)
    assert names(chosen) == []


def test_precision_that_was_too_low_is_not_taken_with_others(single, measurer, difference, change, options):
    (amp,) = single('amp')
    lower = change(amp, name='amp_and_flow', saving=0.25, overrides={**amp.overrides, 'a.b': 'autocast'})
    quality = KnownQuality(difference, {'amp': -0.5})
    assert names(choose([amp, lower], measurer(), quality, options())) == []


def test_trainings_of_another_length_or_config_are_others(options):
    def folder(**changed):
        asked = options(**changed)
        trained = load_config(TINY, overrides={**asked.shared_overrides, **asked.training_length})
        return quality_folder(asked, trained)

    assert folder(iterations=300) == folder(iterations=300, minutes=9.0)
    others = [folder(iterations=300), folder(iterations=3000), folder(shared_overrides={'model.tsa': None})]
    assert len({folder(), *others}) == 4


def test_why_quality_is_not_known(single, measurer, difference, options):
    quality = KnownQuality(difference, {})
    assert choose(single('chunks'), measurer(), quality, options()).why_unknown == 'none_tried'
    quality.why_unknown = 'no_time'
    found = choose(single('chunks', 'shallow'), measurer(), quality, options())
    assert found.why_unknown == 'no_time'
    assert names(found) == ['chunks']
