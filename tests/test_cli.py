import argparse
import errno
import json
import os
import signal
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset

from vrtspike.cli import (
    add_config_arguments,
    config_arguments,
    end_as_interrupted,
    message_of,
    positive,
    run_tool,
    tool_parser,
    write_result,
)
from vrtspike.errors import ConfigError, DataError

# Texts that stand for a value.
SPECIAL = ('false', 'none', 'true', 'nan')
READ_BACK = st.one_of(
    st.integers(), st.booleans(), st.floats(allow_nan=False, allow_infinity=False), st.lists(st.integers(), min_size=1)
)
PLAIN = st.from_regex(r'[b-df-hj-z/_][a-z0-9 ./_=:-]{0,20}', fullmatch=True)


def parse(*arguments: str) -> argparse.Namespace:
    parser = tool_parser('Do it.\n\nExamples:\n  python tools/do.py it\n')
    add_config_arguments(parser)
    return parser.parse_args(arguments)


def code_of(main) -> int:
    with pytest.raises(SystemExit) as caught:
        run_tool(main)
    return caught.value.code


class Unreadable(Dataset):
    def __init__(self, error: Exception):
        self.error = error

    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise self.error


def raising(error: BaseException):
    def main():
        raise error

    return main


class TestRunTool:
    def test_success(self, capsys):
        assert code_of(lambda: print('done')) == 0
        assert capsys.readouterr().out == 'done\n'

    def test_mendable_error_is_its_message_alone(self, capsys):
        assert code_of(raising(ConfigError('no such key'))) == 1
        captured = capsys.readouterr()
        assert (captured.out, captured.err) == ('', 'error: no such key\n')

    def test_error_of_a_loader_s_worker_is_its_message_alone(self, capsys):
        def main():
            list(DataLoader(Unreadable(DataError('x.dat is missing\nwrite it again')), num_workers=1))

        assert code_of(main) == 1
        assert capsys.readouterr().err == 'error: x.dat is missing\nwrite it again\n'

    def test_interruption(self, capsys):
        assert code_of(raising(KeyboardInterrupt())) == 130
        assert capsys.readouterr().err == 'error: interrupted\n'

    def test_faults_of_our_own_keep_their_traceback(self):
        with pytest.raises(ZeroDivisionError):
            run_tool(raising(ZeroDivisionError()))

    def test_errors_of_the_system_are_one_message(self, capsys):
        assert code_of(raising(NotADirectoryError(errno.ENOTDIR, 'Not a directory', '/a/file/x'))) == 1
        message = '/a/file/x: Not a directory: a file is where a folder is expected; choose another path'
        assert capsys.readouterr().err == f'error: {message}\n'

    def test_errors_of_libraries_without_a_number_are_their_text(self, capsys):
        assert code_of(raising(OSError('not an image'))) == 1
        assert capsys.readouterr().err == 'error: not an image\n'

    def test_an_error_of_the_system_in_a_loader_s_worker(self, capsys):
        def main():
            list(DataLoader(Unreadable(FileNotFoundError(errno.ENOENT, 'No such file', 'x.png')), num_workers=1))

        assert code_of(main) == 1
        assert capsys.readouterr().err == "error: [Errno 2] No such file: 'x.png'\n"

    @pytest.mark.parametrize(
        ('error', 'detail'),
        [
            (MemoryError(), ''),
            (MemoryError('Unable to allocate 1 TiB'), ' (Unable to allocate 1 TiB)'),
            (
                RuntimeError("DefaultCPUAllocator: can't allocate memory: 5 bytes\nstack"),
                " (DefaultCPUAllocator: can't allocate memory: 5 bytes)",
            ),
        ],
    )
    def test_memory_that_ran_out_is_one_message(self, error, detail):
        assert message_of(error).startswith(f'memory ran out{detail}: close other programs, or ')

    def test_its_own_exit_status_stays(self):
        assert code_of(lambda: sys.exit(3)) == 3

    def test_plots_are_drawn_into_files(self, monkeypatch):
        monkeypatch.setenv('MPLBACKEND', 'module://matplotlib_inline.backend_inline')
        assert code_of(lambda: None) == 0
        assert os.environ['MPLBACKEND'] == 'Agg'


PRINTS = """
from vrtspike.cli import run_tool
def main():
    for _ in range(10_000):
        print('│ ×±… 学 \\udcff')
run_tool(main)
"""


class TestConsole:
    def run(self, shell: str, code: str = PRINTS, **environment: str) -> tuple[int, str, str]:
        command = f'"{sys.executable}" -c "$CODE" {shell}'
        found = subprocess.run(
            ['bash', '-c', command],
            env={**os.environ, 'PYTHONUNBUFFERED': '', 'CODE': code, **environment},
            capture_output=True,
            timeout=300,
        )
        return found.returncode, found.stdout.decode('latin-1'), found.stderr.decode()

    @pytest.mark.parametrize(
        ('encoding', 'line'),
        [
            ('ascii', '| x+/-... \\u5b66 \\udcff'),
            ('latin-1', '| \xd7\xb1... \\u5b66 \\udcff'),
            ('utf-8', '│ ×±… 学 '.encode().decode('latin-1') + '\\udcff'),
        ],
    )
    def test_every_text_can_be_printed(self, encoding, line):
        status, out, err = self.run('', PYTHONIOENCODING=encoding)
        assert (status, out.splitlines()[0], err) == (0, line, '')

    def test_a_reader_that_has_seen_enough_is_no_error(self):
        assert self.run('| head -1 >/dev/null; exit ${PIPESTATUS[0]}') == (1, '', '')

    def test_a_full_disk_behind_stdout_is_named(self):
        status, _, err = self.run('>/dev/full')
        assert (status, err) == (
            1,
            'error: No space left on device: free some space, or choose another folder\n',
        )

    def test_closed_streams(self):
        assert self.run('>&- 2>&-') == (0, '', '')

    def test_an_error_is_told_although_nobody_reads_the_output(self):
        code = 'from vrtspike.cli import run_tool\nfrom vrtspike.errors import DataError\n'
        code += "def main():\n    print('x')\n    raise DataError('bad')\nrun_tool(main)\n"
        assert self.run('>/dev/full', code) == (1, '', 'error: bad\n')


class TestValues:
    def test_home_folders_are_inserted(self, monkeypatch):
        monkeypatch.setenv('HOME', '/folder/of/someone')
        parser = tool_parser('')
        parser.add_argument('--out', nargs='+')
        assert parser.parse_args(['--out=~/x']).out == ['/folder/of/someone/x']

    @pytest.mark.parametrize(('kind', 'text', 'value'), [(int, '3', 3), (float, '0.5', 0.5)])
    def test_positive(self, kind, text, value):
        assert positive(kind)(text) == value

    @pytest.mark.parametrize(('kind', 'text'), [(int, '0'), (int, '-1'), (int, '1.5'), (float, 'nan'), (float, 'x')])
    def test_not_positive(self, kind, text):
        with pytest.raises(argparse.ArgumentTypeError, match='number above 0, found'):
            positive(kind)(text)

    def test_json(self, tmp_path, capsys):
        write_result({'a': '学'}, tmp_path / 'x.json')
        write_result({'a': '学'}, '-')
        write_result({'a': '学'}, None)
        printed = capsys.readouterr().out
        assert printed.isascii()
        assert json.loads(printed) == json.loads((tmp_path / 'x.json').read_text(encoding='utf-8')) == {'a': '学'}
        with pytest.raises(ValueError, match='not JSON compliant'):
            write_result({'a': float('nan')}, '-')


class TestArguments:
    def test_help_ends_with_the_examples(self, capsys):
        with pytest.raises(SystemExit):
            parse('--help')
        text = capsys.readouterr().out
        assert text.index('Do it.') < text.index('set dotted keys') < text.index('python tools/do.py it')

    def test_for_the_loader(self):
        args = parse('a.py', '--plugins', 'x', 'y', '--cfg-options', 'a.b=1')
        assert config_arguments(args) == {'path': 'a.py', 'overrides': {'a.b': 1}, 'plugins': ['x', 'y']}

    def test_none_given(self):
        assert config_arguments(parse('a.py')) == {'path': 'a.py', 'overrides': {}, 'plugins': []}

    @pytest.mark.parametrize(
        ('text', 'value'),
        [
            ('3', 3),
            ('1e-4', 1e-4),
            ('true', True),
            ('None', None),
            ('[2,2]', [2, 2]),
            ('[(1,2),(3,4)]', [(1, 2), (3, 4)]),
            ('1,2', [1, 2]),
            ('/data/with space/x', '/data/with space/x'),
            ('"quoted"', 'quoted'),
            ('"/data/my clips, v2"', '/data/my clips, v2'),
            ('"[1,2]"', [1, 2]),
            ('a=b', 'a=b'),
            ('', ''),
        ],
    )
    def test_values(self, text, value):
        assert parse('a.py', '--cfg-options', f'key={text}').cfg_options == {'key': value}

    def test_given_twice(self):
        assert parse('a.py', '--cfg-options', 'a=1', '--cfg-options', 'b=2', 'a=3').cfg_options == {'a': 3, 'b': 2}

    @pytest.mark.parametrize('text', ['novalue', '=3', 'key=[1,2'])
    def test_malformed(self, text, capsys):
        with pytest.raises(SystemExit) as caught:
            parse('a.py', '--cfg-options', text)
        assert caught.value.code == 2
        assert '--cfg-options: ' in capsys.readouterr().err

    @given(value=READ_BACK)
    def test_python_values_read_back(self, value):
        assert parse('a.py', '--cfg-options', f'key={value}').cfg_options == {'key': value}

    @given(PLAIN.filter(lambda text: text.strip() not in SPECIAL))
    def test_plain_text_stays_as_it_is(self, text):
        assert parse('a.py', '--cfg-options', f'key={text}').cfg_options == {'key': text}


def test_parsing_needs_no_torch():
    """What a tool imports before it parses its arguments decides how quick its ``--help`` is."""
    code = 'import sys, vrtspike.cli, vrtspike.config, vrtspike.plugins; sys.exit("torch" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', code], timeout=60).returncode == 0


def test_signals_to_end_are_an_interruption_unless_ignored(capsys):
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}

    def main():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        end_as_interrupted()
        os.kill(os.getpid(), signal.SIGHUP)  # as under nohup
        print('still here')
        os.kill(os.getpid(), signal.SIGTERM)

    try:
        assert code_of(main) == 130
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ('still here\n', 'error: interrupted\n')
