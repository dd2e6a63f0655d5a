import json
from importlib.resources import files

import jsonschema
import msgspec
import pytest

from vrtspike.records.memory import KINDS, Holder, Holding, MemoryLine, MemoryTimeline
from vrtspike.records.writer import line_of

LINE = MemoryLine(
    iteration=6,
    rank=0,
    device='cpu',
    peak_mib=12.0,
    peak_in='body backward',
    peak_ms=3.5,
    holdings=[Holding('parameters', 4.0), Holding('saved', 8.5, 'body'), Holding('unseen', -0.5)],
    timeline=MemoryTimeline(
        [0.0, 3.5], ['other', 'body backward'], {'parameters': [4.0, 4.0], 'saved/body': [0.0, 8.5]}
    ),
)


def schema():
    return json.loads(files('vrtspike.records').joinpath('memory.schema.json').read_text(encoding='utf-8'))


def test_a_line_is_read_back_and_fits_the_schema():
    line = line_of(LINE)
    assert line.startswith('{"kind":"memory"')  # readers know the file by this
    assert msgspec.json.decode(line, type=MemoryLine) == LINE
    jsonschema.validate(json.loads(line), schema())


def test_the_schema_knows_every_kind():
    assert schema()['properties']['holdings']['items']['properties']['kind']['enum'] == list(KINDS)


def test_an_unknown_kind_is_refused():
    with pytest.raises(msgspec.ValidationError, match='magic'):
        msgspec.json.decode(line_of(LINE).replace('"unseen"', '"magic"'), type=MemoryLine)


@pytest.mark.parametrize(('holder', 'name'), [(Holder('batch'), 'batch'), (Holder('saved', 'stage1'), 'saved/stage1')])
def test_names(holder, name):
    assert holder.name == name
