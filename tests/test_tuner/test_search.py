"""The search on planted gains: what is tried, what is pruned, what is combined, what is taken out again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrtspike.candidates import CHANGES
from vrtspike.experiments.statistics import Difference
from vrtspike.tuner.search import clashes, combine, settle, together, try_singly, winners
from vrtspike.tuner.trials import Failed, Measured, Pruned, Trial, is_affordable

SHARES = {'fuse1': 0.5, 'stage1': 0.3, 'tsa': 0.004, 'data': 0.1}


def always():
    return True


def fail(name, overrides):
    return Failed(name=name, overrides=overrides, failure='does not compile')


def names(trials):
    return [trial.name for trial in trials]


def test_same_function_comes_first_then_what_may_save_most_and_costly_ones_last(candidate, measurer):
    candidates = [
        candidate('student'),
        candidate('slower', slow_to_measure=True),
        candidate('idle', stages='stage1'),
        candidate('amp'),
        candidate('chunks', stages='fuse1'),
    ]
    measure = measurer()
    try_singly(candidates, SHARES, measure, always)
    assert measure.calls == ['chunks', 'idle', 'amp', 'student', 'slower']


def test_what_cannot_run_or_cannot_win_is_listed_and_not_measured(candidate, measurer):
    measure = measurer()
    candidates = [candidate('chunks', unavailable='no_graphs'), candidate('idle', stages='tsa'), candidate('amp')]
    found = {trial.name: trial for trial in try_singly(candidates, SHARES, measure, always)}
    assert measure.calls == ['amp']
    assert found['chunks'].result.skipped == 'no_graphs'
    assert (found['idle'].result.skipped, found['idle'].most) == ('small_share', 0.004)
    assert found['amp'].result.saving == pytest.approx(0.3)


def test_nothing_begins_after_the_time_is_over(candidate, measurer):
    measure, left = measurer(), iter([True, False, False])
    candidates = [candidate('chunks'), candidate('amp'), candidate('student')]
    trials = try_singly(candidates, SHARES, measure, lambda: next(left))
    assert measure.calls == ['chunks']
    assert isinstance(trials[0].result, Measured)
    assert [trial.result.skipped for trial in trials[1:]] == ['time_over', 'time_over']


def test_a_saving_counts_where_every_round_saw_it(single, change):
    trial = single('chunks')[0]
    assert trial.saves_time
    assert not change(trial, interval=(-0.1, 0.9)).saves_time
    assert not change(trial, saving=0.01).saves_time
    assert not Trial(kind=CHANGES, result=fail('x', {})).saves_time
    assert names(winners(single('amp', 'idle', 'slower', 'chunks'))) == ['chunks', 'amp']


def test_independent_candidates_multiply(single, measurer):
    found = combine(single('chunks', 'amp'), measurer())
    assert names(found.kept) == ['chunks', 'amp']
    assert found.steps[-1].result.saving == pytest.approx(1 - 0.5 * 0.7)
    assert found.steps[-1].interaction == pytest.approx(1.0)
    assert (found.steps[-1].result.name, found.steps[-1].kind) == ('chunks+amp', 'precision')


def test_a_candidate_that_spoils_another_is_not_kept(single, measurer):
    found = combine(single('chunks', 'amp', 'shallow'), measurer({('chunks', 'amp'): 1.5}))
    assert names(found.kept) == ['chunks', 'shallow']
    assert [step.kept for step in found.steps] == [True, False, True]
    assert found.steps[1].interaction == pytest.approx(1.5)


def test_a_better_candidate_replaces_one_that_it_excludes(single, measurer):
    found = combine(single('chunks', 'shallow', 'student'), measurer())
    assert names(found.kept) == ['chunks', 'student']
    assert found.steps[-1].replaces == ['shallow']
    assert found.steps[-1].result.saving == pytest.approx(1 - 0.5 * 0.2)


def test_a_worse_candidate_that_would_replace_a_better_one_is_not_measured(single, measurer):
    measure = measurer()
    found = combine(single('student', 'shallow'), measure)
    assert (names(found.kept), measure.calls) == (['student'], [])
    assert isinstance(found.steps[-1].result, Pruned)


def test_what_needs_too_much_memory_together_is_not_kept(single, measurer):
    found = combine(single('chunks', 'amp'), measurer(), fits=lambda result: '+' not in result.name)
    assert names(found.kept) == ['chunks']
    assert not found.steps[-1].kept


def test_a_combination_that_fails_is_a_step_without_numbers(single):
    found = combine(single('chunks', 'amp'), fail)
    assert names(found.kept) == ['chunks']
    assert found.steps[-1].result.failure == 'does not compile'


def test_the_quality_of_all_together_decides(single, measurer, difference):
    asked = []

    def quality_of(parts):
        asked.append(names(parts))
        return difference(-0.5 if 'shallow' in names(parts) else -0.02)

    trials = single('chunks', 'amp') + single('shallow', difference_db=difference(-0.2))
    found = settle(trials, lambda left: combine(left, measurer()), quality_of, 0.3)
    assert asked == [['chunks', 'amp', 'shallow'], ['chunks', 'amp']]
    assert (names(found.kept), found.difference.mean) == (['chunks', 'amp'], -0.02)


def test_where_the_quality_is_not_known_one_change_stays(single, difference, change):
    narrow = change(single('shallow')[0], name='narrow', overrides={'model.backbone.embed_dims': [8]})
    trials = [*single('chunks', 'shallow'), narrow]

    def measure(name, overrides):
        saving = 1 - 2 ** -len(overrides)
        return Measured(name=name, overrides=overrides, saving=saving, interval=(saving, saving))

    found = settle(trials, lambda left: combine(left, measure), lambda parts: None, 0.3)
    assert names(found.kept) == ['chunks', 'shallow']
    assert found.difference is None
    uninformative = difference(0.0, informative=False)
    found = settle(trials, lambda left: combine(left, measure), lambda parts: uninformative, 0.3)
    assert names(found.kept) == ['chunks', 'shallow']


def test_quality_is_not_asked_where_the_function_is_the_same(single, measurer):
    def refuse(parts):
        raise AssertionError('asked')

    found = settle(single('chunks'), lambda left: combine(left, measurer()), refuse, 0.0)
    assert (names(found.kept), found.difference) == (['chunks'], None)


@given(st.lists(st.sampled_from(['chunks', 'idle', 'amp', 'shallow', 'student', 'slower']), unique=True))
def test_what_is_kept_never_clashes_and_never_gets_slower(chosen):
    import math

    saving = dict(chunks=0.5, idle=0.0, amp=0.3, shallow=0.4, student=0.8, slower=-0.2)
    keys = dict(chunks='a', idle='b.c', amp='d', shallow='b.depths', student='b', slower='e')

    def measured(name, overrides):
        left = math.prod(1 - saving[part] for part in overrides.values())
        return Measured(name=name, overrides=overrides, saving=1 - left, interval=(1 - left, 1 - left))

    trials = [Trial(kind=CHANGES, result=measured(name, {keys[name]: name})) for name in chosen]
    found = combine(trials, measured)
    assert len(together(found.kept)) == len(found.kept)
    assert not any(clashes(a.overrides, b.overrides) for a in found.kept for b in found.kept if a is not b)
    best = [step.result.saving for step in found.steps if step.kept]
    assert best == sorted(best)


@pytest.mark.parametrize(
    ('a', 'b', 'expected'),
    [
        ({'x.y': 1}, {'x.y': 1}, False),
        ({'x.y': 1}, {'x.y': 2}, True),
        ({'x': {}}, {'x.y': 2}, True),
        ({'x.yz': 1}, {'x.y': 2}, False),
    ],
)
def test_clashes(a, b, expected):
    assert clashes(a, b) is expected
    assert clashes(b, a) is expected


def test_affordable():
    found = Difference(mean=-0.2, verdict='worse', seeds=[], why='')
    assert is_affordable(found, 0.3)
    assert not is_affordable(found, 0.1)
    assert not is_affordable(Difference(mean=-0.2, verdict='not informative', seeds=[], why=''), 0.3)
    assert not is_affordable(None, 0.3)
