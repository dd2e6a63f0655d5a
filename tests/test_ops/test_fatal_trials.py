import json

import msgspec
import pytest

from vrtspike.errors import VrtSpikeError
from vrtspike.ops.fatal_trials import fatal_trials, forget_fatal_trials, noted_trial


@pytest.fixture
def file(tmp_path):
    return tmp_path / 'abc.json'


def notes(file):
    return sorted(file.parent.glob('*.trial'))


def test_a_note_is_there_during_a_trial_alone(file):
    with noted_trial(file, 'flash'):
        (note,) = notes(file)
        assert json.loads(note.read_text())['backend'] == 'flash'
        assert fatal_trials(file) == []  # this process is alive
    assert notes(file) == []


@pytest.mark.parametrize('error', [KeyboardInterrupt, RuntimeError])
def test_an_interrupt_leaves_no_note(file, error):
    with pytest.raises(error), noted_trial(file, 'flash'):
        raise error
    assert notes(file) == []


def test_a_broken_device_leaves_its_note(file):
    with pytest.raises(VrtSpikeError), noted_trial(file, 'flash'):
        raise VrtSpikeError('broken')
    assert len(notes(file)) == 1


@pytest.mark.parametrize(
    ('changes', 'fatal'),
    [
        ({}, []),
        ({'started': 1.0}, ['flash']),  # another process has the number now
        ({'process': 2**22 + 1}, ['flash']),
        ({'process': 2**22 + 1, 'host': 'elsewhere'}, []),
    ],
)
def test_a_trial_was_fatal_if_its_process_on_this_machine_is_gone(file, changes, fatal):
    with noted_trial(file, 'flash'):
        (path,) = notes(file)
        note = json.loads(path.read_text()) | changes
        path.write_bytes(msgspec.json.encode(note))
        assert fatal_trials(file) == fatal
        forget_fatal_trials(file)
        assert bool(notes(file)) != bool(fatal)


def test_damaged_notes_are_ignored(file):
    (file.parent / 'abc.flash.here.1.trial').write_text('{"backend": ')
    assert fatal_trials(file) == []
