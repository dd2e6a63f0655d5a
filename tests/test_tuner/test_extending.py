"""Networks added to what is kept: in which order, what ends it, and what is never replaced."""

import pytest

from vrtspike.candidates import CHANGES, EXACT
from vrtspike.experiments.statistics import Difference
from vrtspike.tuner.extending import extend, may_be_added
from vrtspike.tuner.search import combine
from vrtspike.tuner.trials import Failed, Measured, Skipped, Trial

KEYS = dict(
    student='backbone',
    shallow='backbone.depths',
    light='fusion',
    once='stages',
    late='stages',
    chunks='fusion.chunk_size',
)
SAVING = dict(student=0.6, shallow=0.4, light=0.05, once=0.1, late=0.08, chunks=0.1)


def measured(name, overrides, saving, interval):
    return Measured(name=name, overrides=overrides, saving=saving, interval=interval)


def fail(name, overrides):
    return Failed(name=name, overrides=overrides, failure='no')


class Known:
    """Parts with a saving of their own, of which some save another share of what is left beside the student."""

    def __init__(self, beside_student=None, losses=None):
        self.beside_student, self.losses = beside_student or {}, losses or {}
        self.measured, self.trained = [], []

    def alone(self, *names):
        return [
            Trial(
                kind=EXACT if name == 'chunks' else CHANGES,
                result=measured(name, {KEYS[name]: name}, SAVING[name], (SAVING[name] - 0.2, SAVING[name] + 0.1)),
            )
            for name in names
        ]

    def measure(self, name, overrides):
        self.measured.append(name)
        left = 1.0
        for part in overrides.values():
            of_rest = self.beside_student.get(part, SAVING[part]) if 'student' in overrides.values() else SAVING[part]
            left *= 1 - of_rest
        return measured(name, overrides, 1 - left, (1 - left, 1 - left))

    def quality_of(self, parts):
        names = '+'.join(part.name for part in parts)
        self.trained.append(names)
        loss = self.losses.get(names, 0.0)
        if not isinstance(loss, float):
            return loss
        return Difference(mean=-loss, verdict='worse', low=-1.0, high=0.0, seeds=[], why='')

    def extend(self, start, *names, measure=None, fits=lambda result: True, time_left=lambda: True):
        found = combine(self.alone(*start), self.measure)
        self.measured.clear()
        trials = self.alone(*names)
        extend(found, trials, measure or self.measure, fits, self.quality_of, 0.1, time_left)
        return found


def names(found):
    return [trial.name for trial in found.kept]


def test_what_makes_the_whole_fastest_is_added_first_and_the_rest_measured_again():
    known = Known(beside_student=dict(light=0.5, once=0.2))
    found = known.extend(['student'], 'once', 'light')
    assert names(found) == ['student', 'light', 'once']
    assert known.measured == ['student+once', 'student+light', 'student+light+once']
    assert known.trained == ['student+light', 'student+light+once']
    assert found.saving == pytest.approx(1 - 0.4 * 0.5 * 0.8)
    assert found.difference.mean == 0
    # Alone it saved a twentieth, here it saves half of what was left.
    assert found.steps[2].interaction == pytest.approx(0.5 / 0.95)
    assert [step.kept for step in found.steps] == [True, False, True, True]


def test_what_loses_too_much_with_the_rest_is_left_and_the_next_one_tried():
    known = Known(losses={'student+once': 0.2})
    found = known.extend(['student'], 'light', 'once')
    assert names(found) == ['student', 'light']
    assert known.trained == ['student+once', 'student+light']
    assert known.measured == ['student+light', 'student+once']  # and what loses too much not again


def test_from_nothing_the_best_affordable_network_is_found():
    known = Known(losses={'student': 3.0, 'shallow': 0.05})
    found = known.extend([], 'light', 'student', 'shallow')
    assert names(found) == ['shallow', 'light']
    assert known.trained == ['student', 'shallow', 'shallow+light']
    assert known.measured == ['shallow+light']  # those alone were measured before


def test_another_network_is_not_replaced_but_what_computes_the_same_is():
    known = Known()
    assert names(known.extend(['student'], 'shallow', 'once', 'late')) == ['student', 'once']
    assert known.measured == ['student+once', 'student+late']


def test_what_computes_the_same_function_is_replaced():
    known = Known(beside_student=dict(light=0.5))
    found = known.extend(['chunks', 'student'], 'light')
    assert names(found) == ['student', 'light']
    assert found.steps[-1].replaces == ['chunks']


def test_what_saves_nothing_more_or_does_not_fit_is_not_trained():
    known = Known(beside_student=dict(light=0.01))
    assert names(known.extend(['student'], 'light')) == ['student']
    found = known.extend(['student'], 'once', fits=lambda result: '+' not in result.name)
    assert (names(found), known.trained) == (['student'], [])


def test_it_ends_where_there_is_no_time():
    known = Known(losses={'student+once': None})
    found = known.extend(['student'], 'light', 'once')
    assert (names(found), known.trained) == (['student'], ['student+once'])
    assert found.steps[-1].difference_db is None
    known = Known()
    assert names(known.extend(['student'], 'light', time_left=lambda: False)) == ['student']
    assert known.measured == []


def test_a_training_that_failed_is_no_end():
    failed = Difference(mean=None, verdict='not informative', seeds=[], why='')
    known = Known(losses={'student+once': failed})
    assert names(known.extend(['student'], 'light', 'once')) == ['student', 'light']


def test_a_combination_that_fails_is_a_step_without_numbers():
    found = Known().extend(['student'], 'once', measure=fail)
    assert (names(found), found.steps[-1].result.failure) == (['student'], 'no')


@pytest.mark.parametrize(
    ('changed', 'expected'),
    [
        ({}, True),
        ({'interval': (-0.2, -0.01)}, False),
        ({'kind': EXACT}, False),
        ({'difference_db': Difference(mean=-1.0, verdict='worse', seeds=[], why='')}, False),
        ({'difference_db': Difference(mean=None, verdict='not informative', seeds=[], why='')}, True),
    ],
)
def test_what_may_be_added(change, changed, expected):
    assert may_be_added(change(Known().alone('light')[0], **changed)) is expected


def test_what_was_not_measured_may_not_be_added():
    skipped = Skipped(name='x', overrides={}, skipped='time_over')
    assert not may_be_added(Trial(kind=CHANGES, result=skipped))


def test_a_combination_that_fails_is_not_tried_again():
    known = Known()

    def measure(name, overrides):
        if 'once' not in name:
            return known.measure(name, overrides)
        known.measured.append(name)
        return fail(name, overrides)

    known.extend(['student'], 'once', 'light', measure=measure)
    assert known.measured == ['student+once', 'student+light']


def test_what_is_faster_on_the_median_alone_is_not_trained():
    known = Known()

    def measure(name, overrides):
        return measured(name, overrides, known.measure(name, overrides).saving, (0.59, 0.7))

    assert names(known.extend(['student'], 'once', measure=measure)) == ['student']
    assert known.trained == []
