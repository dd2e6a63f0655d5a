import inspect
from dataclasses import asdict

import pytest
import yaml

from vrtspike.datasets.simulation.demo import DemoRecipe, write_demo
from vrtspike.datasets.sources import processed as sources
from vrtspike.datasets.sources.processed import DemoClips, ProcessedClips
from vrtspike.errors import ConfigError, DataError
from vrtspike.registry import CLIP_SOURCES


def edit_config(root, **changes):
    path = root / 'config.yaml'
    config = {**yaml.safe_load(path.read_text()), **changes}
    path.write_text(yaml.safe_dump({key: value for key, value in config.items() if value is not None}))


def test_sequences_are_listed_in_order(tiny_demo):
    source = CLIP_SOURCES.build({'type': 'ProcessedClips', 'root': str(tiny_demo)})
    sequences = source.sequences('val')
    assert [sequence.name for sequence in sequences] == ['000_chelsea', '001_coffee']
    assert sequences[0].stems.tolist() == ['00000', '00001', '00002', '00003']
    assert (sequences[0].spike_size, sequences[0].threshold, sequences[0].file_steps) == ((16, 16), 1.0, 16)
    assert sequences[0].image_path('blur', '00001').is_file()
    assert sequences[0].spike_path('00001').is_file()


def test_arguments_win_over_the_config(tiny_demo):
    source = ProcessedClips(tiny_demo, spike_size=[8, 32], threshold=2)
    assert source.spike_size == (8, 32)
    assert source.threshold == 2.0


def test_a_data_set_without_config_needs_both_arguments(tiny_copy):
    (tiny_copy / 'config.yaml').unlink()
    assert ProcessedClips(tiny_copy, (16, 16), 1.0).file_steps is None
    with pytest.raises(DataError, match=r"'spike_h' is missing in .*config\.yaml.*spike_size="):
        ProcessedClips(tiny_copy, threshold=1.0)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'threshold': None}, "'threshold' is missing"),
        ({'threshold': float('nan')}, "'threshold' is nan"),
        ({'spike_w': '16'}, "'spike_w' is '16'"),
        ({'steps_per_frame': 0}, "'steps_per_frame' is 0"),
    ],
)
def test_bad_keys_of_the_config_are_named(tiny_copy, changes, message):
    edit_config(tiny_copy, **changes)
    with pytest.raises(DataError, match=message):
        ProcessedClips(tiny_copy)


@pytest.mark.parametrize(('text', 'message'), [('a: [', 'not valid YAML'), ('- 1', 'holds list')])
def test_a_damaged_config_is_named(tiny_copy, text, message):
    (tiny_copy / 'config.yaml').write_text(text)
    with pytest.raises(DataError, match=message):
        ProcessedClips(tiny_copy)


def test_a_missing_root_says_how_to_prepare_one(tmp_path):
    with pytest.raises(DataError, match=r'none does not exist: prepare it as ROOT/\{train,val\}.*DemoClips'):
        ProcessedClips(tmp_path / 'none')


def test_a_missing_split_is_named(tiny_demo):
    with pytest.raises(DataError, match=r"test is missing: split 'test'"):
        ProcessedClips(tiny_demo).sequences('test')


def test_a_spike_size_that_is_no_pair_is_refused(tiny_demo):
    with pytest.raises(ConfigError, match='spike_size=16'):
        ProcessedClips(tiny_demo, spike_size=16)


def test_demo_clips_are_written_when_absent(tmp_path):
    options = {'train_clips': 1, 'val_clips': 1, 'frames': 1, 'size': 16, 'steps_per_frame': 4, 'progress': False}
    source = DemoClips(tmp_path / 'deep' / 'demo', **options)
    assert [sequence.name for sequence in source.sequences('train')] == ['000_astronaut']
    assert source.file_steps == 4


def test_only_the_main_process_writes_and_all_meet(monkeypatch, tiny_demo):
    met = []
    monkeypatch.setattr(sources, 'barrier', lambda: met.append(True))
    monkeypatch.setattr(sources, 'is_main_process', lambda: False)
    monkeypatch.setattr(sources, 'write_demo', lambda *_, **__: pytest.fail('a second process wrote'))
    DemoClips(tiny_demo)
    monkeypatch.setattr(sources, 'is_main_process', lambda: True)
    monkeypatch.setattr(sources, 'write_demo', write_demo)
    with pytest.raises(DataError, match='other parameters'):
        DemoClips(tiny_demo)
    assert met == [True, True]


def test_demo_clips_take_the_recipe_with_its_defaults():
    parameters = inspect.signature(DemoClips).parameters.values()
    options = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    assert options == asdict(DemoRecipe()) | {'progress': True}
