from pathlib import Path

import msgspec
import pytest
from shipped_networks import SUMMARY, made_up_card

from vrtspike.errors import CheckpointError
from vrtspike.records.model_card import card_path, read_card


def test_a_card_is_read_as_it_was_written(tmp_path):
    card = made_up_card()
    (tmp_path / 'card.json').write_bytes(msgspec.json.encode(card))
    assert read_card(tmp_path / 'card.json') == card


def test_the_summary_is_one_line():
    assert made_up_card().summary() == SUMMARY


def test_the_card_stands_beside_the_weights():
    assert card_path(Path('folder/deblur.pth')) == Path('folder/deblur.json')


@pytest.mark.parametrize(
    ('text', 'message'),
    [(None, 'No such file'), ('{', 'is no model card'), ('{}', 'is no model card: .*missing required field `name`')],
)
def test_what_is_no_card_is_refused(tmp_path, text, message):
    path = tmp_path / 'card.json'
    if text is not None:
        path.write_text(text)
    with pytest.raises(CheckpointError, match=message):
        read_card(path)
