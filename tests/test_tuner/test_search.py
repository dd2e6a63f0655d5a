"""The search on planted gains: what is tried, what is pruned, what is combined, what is taken out again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrtspike.tuner.candidates import CHANGES
from vrtspike.tuner.search import affordable, clashes, combine, saves, settle, together, try_singly, winners

SHARES = {'fuse1': 0.5, 'stage1': 0.3, 'tsa': 0.004, 'data': 0.1}


def always():
    return True


def names(trials):
    return [trial['name'] for trial in trials]


def test_same_function_comes_first_then_what_may_save_most_and_costly_ones_last(remedy, measurer):
    remedies = [
        remedy('student'),
        remedy('slower', costly=True),
        remedy('idle', stages='stage1'),
        remedy('amp'),
        remedy('chunks', stages='fuse1'),
    ]
    measure = measurer()
    try_singly(remedies, SHARES, measure, always)
    assert measure.calls == ['chunks', 'idle', 'amp', 'student', 'slower']


def test_what_cannot_run_or_cannot_win_is_listed_and_not_measured(remedy, measurer):
    measure = measurer()
    remedies = [remedy('chunks', missing='no_graphs'), remedy('idle', stages='tsa'), remedy('amp')]
    found = {trial['name']: trial for trial in try_singly(remedies, SHARES, measure, always)}
    assert measure.calls == ['amp']
    assert found['chunks']['skipped'] == 'no_graphs'
    assert (found['idle']['skipped'], found['idle']['most']) == ('small_share', 0.004)
    assert found['amp']['saving'] == pytest.approx(0.3)


def test_nothing_begins_after_the_time_is_over(remedy, measurer):
    measure, left = measurer(), iter([True, False, False])
    remedies = [remedy('chunks'), remedy('amp'), remedy('student')]
    trials = try_singly(remedies, SHARES, measure, lambda: next(left))
    assert measure.calls == ['chunks']
    assert [trial.get('skipped') for trial in trials] == [None, 'time_over', 'time_over']


def test_a_saving_counts_where_every_round_saw_it(single):
    trial = single('chunks')[0]
    assert saves(trial)
    assert not saves({**trial, 'interval': [-0.1, 0.9]})
    assert not saves({**trial, 'saving': 0.01})
    assert not saves({'name': 'x', 'failure': 'no'})
    assert names(winners(single('amp', 'idle', 'slower', 'chunks'), lambda trial: True)) == ['chunks', 'amp']


def test_independent_remedies_multiply(single, measurer):
    kept, steps = combine(single('chunks', 'amp'), measurer())
    assert names(kept) == ['chunks', 'amp']
    assert steps[-1]['saving'] == pytest.approx(1 - 0.5 * 0.7)
    assert steps[-1]['interaction'] == pytest.approx(1.0)
    assert (steps[-1]['name'], steps[-1]['kind']) == ('chunks+amp', 'precision')


def test_a_remedy_that_spoils_another_is_not_kept(single, measurer):
    kept, steps = combine(single('chunks', 'amp', 'shallow'), measurer({('chunks', 'amp'): 1.5}))
    assert names(kept) == ['chunks', 'shallow']
    assert [step['kept'] for step in steps] == [True, False, True]
    assert steps[1]['interaction'] == pytest.approx(1.5)


def test_a_better_remedy_replaces_one_that_it_excludes(single, measurer):
    kept, steps = combine(single('chunks', 'shallow', 'student'), measurer())
    assert names(kept) == ['chunks', 'student']
    assert steps[-1]['replaces'] == ['shallow']
    assert steps[-1]['saving'] == pytest.approx(1 - 0.5 * 0.2)


def test_a_worse_remedy_that_would_replace_a_better_one_is_not_measured(single, measurer):
    measure = measurer()
    kept, steps = combine(single('student', 'shallow'), measure)
    assert (names(kept), measure.calls) == (['student'], [])
    assert steps[-1]['pruned']


def test_what_needs_too_much_memory_together_is_not_kept(single, measurer):
    kept, steps = combine(single('chunks', 'amp'), measurer(), allowed=lambda trial: '+' not in trial['name'])
    assert names(kept) == ['chunks']
    assert not steps[-1]['kept']


def test_a_combination_that_fails_is_a_step_without_numbers(single):
    kept, steps = combine(single('chunks', 'amp'), lambda name, overrides: {'failure': 'does not compile'})
    assert names(kept) == ['chunks']
    assert steps[-1]['failure'] == 'does not compile'


def test_the_quality_of_all_together_decides(single, measurer, difference):
    asked = []

    def quality_of(parts):
        asked.append(names(parts))
        return difference(-0.5 if 'shallow' in names(parts) else -0.02)

    trials = single('chunks', 'amp') + single('shallow', difference_db=difference(-0.2))
    kept, _, found = settle(trials, lambda left: combine(left, measurer()), quality_of, 0.3)
    assert asked == [['chunks', 'amp', 'shallow'], ['chunks', 'amp']]
    assert (names(kept), found['mean']) == (['chunks', 'amp'], -0.02)


def test_where_the_quality_is_not_known_one_change_stays(single, measurer, difference):
    narrow = {**single('shallow')[0], 'name': 'narrow', 'overrides': {'model.backbone.embed_dims': [8]}}
    trials = [*single('chunks', 'shallow'), narrow]

    def measure(name, overrides):
        halves = 2 ** -len(overrides)
        return {**trials[0], 'name': name, 'saving': 1 - halves}

    kept, _, found = settle(trials, lambda left: combine(left, measure), lambda parts: None, 0.3)
    assert names(kept) == ['chunks', 'shallow']
    assert found is None
    kept, _, _ = settle(
        trials, lambda left: combine(left, measure), lambda parts: difference(0.0, informative=False), 0.3
    )
    assert names(kept) == ['chunks', 'shallow']


def test_quality_is_not_asked_where_the_function_is_the_same(single, measurer):
    def refuse(parts):
        raise AssertionError('asked')

    kept, _, found = settle(single('chunks'), lambda left: combine(left, measurer()), refuse, 0.0)
    assert (names(kept), found) == (['chunks'], None)


@given(st.lists(st.sampled_from(['chunks', 'idle', 'amp', 'shallow', 'student', 'slower']), unique=True))
def test_what_is_kept_never_clashes_and_never_gets_slower(chosen):
    import math

    saving = dict(chunks=0.5, idle=0.0, amp=0.3, shallow=0.4, student=0.8, slower=-0.2)
    keys = dict(chunks='a', idle='b.c', amp='d', shallow='b.depths', student='b', slower='e')
    trials = [
        {'name': name, 'kind': CHANGES, 'overrides': {keys[name]: name}, 'saving': saving[name]} for name in chosen
    ]

    def measure(name, overrides):
        return {'name': name, 'saving': 1 - math.prod(1 - saving[part] for part in overrides.values())}

    kept, steps = combine(trials, measure)
    assert len(together(kept)) == len(kept)
    assert not any(clashes(a['overrides'], b['overrides']) for a in kept for b in kept if a is not b)
    best = [step['saving'] for step in steps if step['kept']]
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
    found = dict(mean=-0.2, verdict='worse')
    assert affordable(found, 0.3)
    assert not affordable(found, 0.1)
    assert not affordable({**found, 'verdict': 'not informative'}, 0.3)
    assert not affordable(None, 0.3)
