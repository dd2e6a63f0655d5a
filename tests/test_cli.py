import argparse
import os
import signal
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset

from vrtspike.cli import add_config_arguments, config_arguments, end_as_interrupted, run_tool, tool_parser
from vrtspike.errors import ConfigError, DataError

# Texts that stand for a value.
SPECIAL = ('false', 'none', 'true', 'nan')
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
    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise DataError('x.dat is missing\nwrite it again')


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
            list(DataLoader(Unreadable(), num_workers=1))

        assert code_of(main) == 1
        assert capsys.readouterr().err == 'error: x.dat is missing\nwrite it again\n'

    def test_interruption(self, capsys):
        assert code_of(raising(KeyboardInterrupt())) == 130
        assert capsys.readouterr().err == 'error: interrupted\n'

    def test_faults_of_our_own_keep_their_traceback(self):
        with pytest.raises(ZeroDivisionError):
            run_tool(raising(ZeroDivisionError()))


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

    @given(value=st.integers() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False)
           | st.lists(st.integers(), min_size=1))  # fmt: skip
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
