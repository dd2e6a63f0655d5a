import json
import shutil
from pathlib import Path

import pytest

from vrtspike.analysis import build_report
from vrtspike.analysis.readers import read_logs
from vrtspike.analysis.readers.files import find_logs, kind_of
from vrtspike.errors import LogError
from vrtspike.records.reader import read_line


@pytest.fixture
def run(make_run, made_up):
    """The folder of a run as training leaves it."""
    folder = make_run('run', samples=20)
    vis_data = folder / '20260101_000000' / 'vis_data'
    made_up.write(vis_data / 'scalars.json', made_up.scalars())
    made_up.write(vis_data / '20260101_000000.json', made_up.scalars())
    (vis_data.parent / '20260101_000000.log').write_text('01/01 00:00:00 - mmengine - INFO - Iter(train) [ 50/700]\n')
    (folder / 'report.json').write_text(json.dumps({'note': '', 'iterations': 20}))
    return folder


def test_folder_of_a_run(run):
    """MMEngine writes the same lines twice; they are read once."""
    log = read_logs([run])
    assert [Path(source.path).name for source in log.sources] == ['stage_costs.jsonl', 'scalars.json']
    assert log.cost_format == 'vrtspike'
    assert len(read_logs([run / '20260101_000000/vis_data']).sources) == 1
    assert len(log.series['psnr'].points()[0]) == 4


def test_only_one_of_both_names_is_there(run):
    (run / '20260101_000000/vis_data/scalars.json').unlink()
    assert [path.name for path in find_logs(str(run))] == ['stage_costs.jsonl', '20260101_000000.json']


def test_folder_of_legacy_logs(data, tmp_path):
    for path in data.iterdir():
        shutil.copy(path, tmp_path)
    (tmp_path / 'notes.txt').write_text('nothing of interest')
    names = {path.name for path in find_logs(str(tmp_path))}
    assert names == {'legacy_timing.txt', 'legacy_print.log', 'legacy_train.log'}


def test_pattern_and_repetition(run, data):
    log = read_logs([str(data / 'legacy_*.log'), data / 'legacy_print.log'])
    assert [source.path.rpartition('/')[2] for source in log.sources] == ['legacy_print.log', 'legacy_train.log']


def test_content_tells_not_the_name(run, tmp_path):
    path = tmp_path / 'whatever.txt'
    shutil.copy(run / 'stage_costs.jsonl', path)
    assert kind_of(path) == 'vrtspike'
    shutil.copy(run / '20260101_000000/vis_data/scalars.json', path)
    assert kind_of(path) == 'mmengine'


def test_damaged_first_line(run, tmp_path):
    path = tmp_path / 'stage_costs.jsonl'
    path.write_text('{"kind": "ru\n' + (run / 'stage_costs.jsonl').read_text())
    source = read_logs([path]).sources[0]
    assert (source.records, source.damaged, source.first_damaged) == (20, 1, 1)


@pytest.mark.parametrize(
    ('log', 'message'),
    [
        ('run/stage_cost.jsonl', "there is no log '.*'; did you mean 'stage_costs.jsonl'"),
        ('nowhere/x.log', "there is no log '.*x.log'"),
        ('run/*.xyz', 'no file matches the pattern'),
        ('run/20260101_000000/20260101_000000.log', 'no record can be read.*folder of its run'),
        ('run/report.json', 'no record can be read; expected our stage_costs.jsonl'),
        ('empty', "'.*empty' holds no log that can be read"),
        ('empty.jsonl', 'no record can be read'),
    ],
)
def test_one_clear_error(log, message, run, tmp_path):
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'empty.jsonl').touch()
    with pytest.raises(LogError, match=message):
        read_logs([str(tmp_path / log)])


def test_files_without_a_record_are_reported_beside_others(run, tmp_path):
    log = read_logs([run, run / 'report.json'])
    assert [source.records > 0 for source in log.sources] == [True, True, False]


def test_damaged_logs_are_read_or_refused(made_up, data, tmp_path, fuzz_reader):
    made_up.write(tmp_path / 'stage_costs.jsonl', [made_up.run_line(), *made_up.sample_lines(4)])
    made_up.write(tmp_path / 'scalars.json', made_up.scalars(12))
    for path in data.iterdir():
        shutil.copy(path, tmp_path)
    fuzz_reader(lambda path: build_report(read_logs([path])))


def test_a_folder_of_runs_names_them(run, tmp_path):
    with pytest.raises(LogError, match=r'is no run but holds 1: give one of them \(run\)'):
        read_logs([tmp_path])


def test_a_line_without_end_does_not_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr('vrtspike.records.reader.MAX_LINE', 10)
    path = tmp_path / 'a.jsonl'
    path.write_bytes(b'x' * 35 + b'\nshort\n' + b'y' * 10)
    with open(path, 'rb') as file:
        assert list(iter(lambda: read_line(file), b'')) == [b'x' * 10, b'short\n', b'y' * 10]
