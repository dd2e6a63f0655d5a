import pytest

from vrtspike.records.rank_files import file_of_rank


@pytest.mark.parametrize(
    ('name', 'rank', 'expected'),
    [
        ('stage_costs.jsonl', 0, 'stage_costs.jsonl'),
        ('stage_costs.jsonl', 12, 'stage_costs_rank12.jsonl'),
        ('trace.json.gz', 1, 'trace_rank1.json.gz'),
    ],
)
def test_all_but_the_first_rank_are_named(name, rank, expected):
    assert file_of_rank(name, rank) == expected
