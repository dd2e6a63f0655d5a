from vrtspike.records.evaluation import SequenceScores, at_first_threshold


def test_results_are_those_of_the_first_threshold():
    scores = [SequenceScores(factor=f, clip=c, seconds=1.0, frames=[]) for f in (1.0, 2.0) for c in 'ab']
    assert at_first_threshold(scores) == scores[:2]
    assert at_first_threshold([]) == []
