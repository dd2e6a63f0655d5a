"""The benchmark of start-up times, on times that are made up."""

import json
import sys
from itertools import cycle

import pytest


@pytest.fixture
def run_startup(monkeypatch):
    """Return a function that runs the benchmark with given seconds of imports and of ``--help``."""
    import startup

    def run(imports, helps, *arguments):
        left = {'-c': cycle(imports), '--help': cycle(helps)}
        found = startup.measure(2, lambda command: next(left['-c' if '-c' in command else '--help']))
        monkeypatch.setattr(startup, 'measure', lambda repeats: found)
        monkeypatch.setattr(sys, 'argv', ['startup.py', *arguments])
        startup.main()

    return run


def test_the_shortest_time_of_each_command_counts(run_startup, tmp_path, capsys):
    run_startup([0.4, 0.7, 0.9, 0.3], [0.6], '--check', '--out', str(tmp_path / 'startup.json'))
    record = json.loads((tmp_path / 'startup.json').read_text())
    first, second, *tools = record['commands']
    assert first == {'name': 'import vrtspike', 'seconds': 0.4, 'limit_s': 0.5}
    assert second == {'name': 'import vrtspike.analysis', 'seconds': 0.3, 'limit_s': 0.5}
    assert {'name': 'tools/train.py --help', 'seconds': 0.6, 'limit_s': 1.0} in tools
    assert {'versions', 'device', 'commit'} <= record.keys()
    assert 'too slow' not in capsys.readouterr().out


@pytest.mark.parametrize(('imports', 'helps', 'slow'), [([0.6], [0.6], 2), ([0.5], [1.01], None)])
def test_a_command_above_its_limit_fails_the_check(run_startup, capsys, imports, helps, slow):
    import startup

    with pytest.raises(SystemExit) as ended:
        run_startup(imports, helps, '--check')
    assert ended.value.code == 1
    assert capsys.readouterr().out.count('too slow') == (slow or len(startup.commands()) - 2)


def test_without_check_slow_commands_are_only_marked(run_startup, capsys):
    run_startup([0.6], [0.1])
    assert capsys.readouterr().out.count('too slow') == 2
