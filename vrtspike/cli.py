"""Shared code of the command-line tools: the parser, common arguments, and messages for errors."""

from __future__ import annotations

import argparse
import codecs
import json
import math
import os
import re
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from mmengine.config import DictAction

from vrtspike.config.values import expand_home
from vrtspike.errors import ConfigError, VrtSpikeError, explain_os_error, is_out_of_memory
from vrtspike.native.allocator import keep_freed_memory

Number = TypeVar('Number', int, float)

CONSOLE_ERRORS = 'vrtspike.console'
"""Name of the error handler :func:`substitute`."""

SUBSTITUTES = str.maketrans('─━│┃┌┐└┘├┤┬┴┼×·–—−’“”', '--||+++++++++x.---\'""') | str.maketrans(
    {'…': '...', '±': '+/-', '→': '->', '≈': '~', '≤': '<=', '≥': '>='}
)
"""ASCII for characters of our tables and messages that a console may lack."""


class ToolParser(argparse.ArgumentParser):
    """A parser that expands ``~`` in all values. A shell does not expand it in ``--out=~/x`` and ``KEY=~/x``."""

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:
        found, rest = super().parse_known_args(args, namespace)
        for name, value in vars(found).items():
            setattr(found, name, expand_home(value))
        return found, rest


def tool_parser(doc: str) -> ToolParser:
    """Return a parser whose ``--help`` shows the tool's docstring: what it does first, its examples last."""
    purpose, _, examples = doc.partition('Examples:')
    return ToolParser(
        description=purpose.strip(),
        epilog=f'examples:{examples.rstrip()}' if examples else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``config``, ``--cfg-options`` and ``--plugins``, which :func:`config_arguments` reads back."""
    parser.add_argument('config', help='a config file, as in configs/vrt_spike_fast.py')
    add_config_options(parser)


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--cfg-options`` and ``--plugins``."""
    add_settings_argument(
        parser,
        '--cfg-options',
        'set dotted keys of the config, as in train_cfg.max_iters=100 model.backbone.depths=[2,2]',
    )
    add_plugins_argument(parser)


def add_plugins_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--plugins``."""
    parser.add_argument('--plugins', nargs='+', default=[], metavar='NAME', help='plugins to load, by name or path')


def add_settings_argument(parser: argparse.ArgumentParser, option: str, text: str) -> None:
    """Add an option that takes ``KEY=VALUE ...``, with ``text`` as its help."""
    parser.add_argument(option, nargs='+', action=OverrideAction, default={}, metavar='KEY=VALUE', help=text)


def add_source_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--options``, the arguments of a clip source that reads a data set."""
    add_settings_argument(parser, '--options', 'arguments of the clip source, as in type=GoProSpike threshold=2')


def add_light_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--light``, what the spike camera integrated."""
    parser.add_argument(
        '--light',
        choices=['linear', 'encoded'],
        help='what the spike camera integrated: linear light, or encoded (sRGB) values of frames (default: from a '
        'config.yaml nearby, or linear)',
    )


def add_layout_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--bit-order``, ``--flipped`` and ``--axes``, which :func:`layout_arguments` reads back."""
    group = parser.add_argument_group('how spikes are stored', "default: a config.yaml nearby, else the format's own")
    group.add_argument(
        '--bit-order',
        choices=['little', 'big'],
        help='which bit of a byte is its first pixel: the least or the most significant (default for raw files: '
        'little)',
    )
    group.add_argument(
        '--flipped',
        action=argparse.BooleanOptionalAction,
        help='rows are stored bottom-up (default for raw files: yes)',
    )
    group.add_argument(
        '--axes',
        choices=['THW', 'HWT'],
        help='of an array: steps first or last (default: first, or what fits the size)',
    )


def layout_arguments(args: argparse.Namespace) -> dict[str, Any]:
    """Return how spikes are stored as arguments of :class:`vrtspike.datasets.spike_layout.SpikeLayout`."""
    return {name: getattr(args, name) for name in ('bit_order', 'flipped', 'axes')}


def add_trust_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--trust-checkpoint``."""
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='unpickle a checkpoint that contains code (only if you trust its author)',
    )


def add_launcher_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--launcher``, and ``--local-rank``, which torch.distributed.launch passes."""
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm'],
        default='none',
        help='what started the processes: torchrun (pytorch) or srun (slurm) (default: none)',
    )
    parser.add_argument('--local-rank', '--local_rank', type=int, help=argparse.SUPPRESS)


def add_device_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--device``. Pass its value to :func:`~vrtspike.runtime.device.chosen_device`."""
    parser.add_argument('--device', help='torch device, as in cuda:1 (default: a GPU if there is one)')


def add_json_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``. Pass its value to :func:`write_result`."""
    parser.add_argument('--json', metavar='FILE', help="write the result as JSON; '-' prints it and nothing else")


def write_result(value: Any, path: str | Path | None) -> None:
    """Write structs and plain values as JSON to a file, or to stdout for ``'-'``. None writes nothing."""
    if path is None:
        return
    import msgspec

    from vrtspike.runtime.atomic_write import write_json

    value = msgspec.to_builtins(value)  # NaN and infinity would be bugs, so json raises for them
    if str(path) == '-':
        print(json.dumps(value, indent=2, allow_nan=False))  # in ASCII, which every console can show
    else:
        write_json(path, value, ensure_ascii=False, allow_nan=False)


def positive(kind: type[Number]) -> Callable[[str], Number]:
    """Return the type of an argument that is a number above 0."""

    def convert(text: str) -> Number:
        try:
            value = kind(text)
        except ValueError:
            value = kind(0)
        if not 0 < value < math.inf:
            expected = 'whole number' if kind is int else 'number'
            raise argparse.ArgumentTypeError(f'expected a {expected} above 0, found {text!r}')
        return value

    return convert


def config_arguments(args: argparse.Namespace) -> dict[str, Any]:
    """Return the keyword arguments of :func:`vrtspike.config.load_config` from the command line."""
    return {'path': args.config, 'overrides': args.cfg_options, 'plugins': args.plugins}


class OverrideAction(DictAction):
    """MMEngine's ``KEY=VALUE`` action, but it keeps spaces in text and commas in quoted text.

    Malformed values are usage errors.
    """

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        malformed = [value for value in values if not value.partition('=')[0] or '=' not in value]
        if malformed:
            parser.error(f'{option_string}: expected KEY=VALUE, found {malformed[0]!r}')
        try:
            super().__call__(parser, namespace, values, option_string)
        except AssertionError as error:  # unbalanced brackets
            parser.error(f'{option_string}: {error}')
        except RecursionError:  # MMEngine never finds the end of dict(a=1, b=2)
            parser.error(
                f'{option_string}: a value may be a number, text or a list of them: set dict(...) in a config that '
                f'inherits from this one, found {" ".join(values)}'
            )

    @staticmethod
    def _parse_iterable(val: str) -> Any:
        text = val.strip('\'"')
        is_quoted = len(val) > 1 and val[0] == val[-1] and text == val[1:-1]
        is_list = text.strip().startswith(('(', '[')) or (',' in text and not is_quoted)
        return DictAction._parse_iterable(val) if is_list else DictAction._parse_int_float_bool(text)


def add_tiling_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options for dividing clips into tiles, which :func:`tiling_arguments` reads back."""
    group = parser.add_argument_group('tiling', "defaults: the config's model.tiling, else whole frames")
    group.add_argument(
        '--tile', nargs='+', metavar='PIXELS', help="height and width, or one number for both; 'auto' fits the memory"
    )
    group.add_argument('--overlap', type=int, nargs='+', metavar='PIXELS', help='minimum overlap (default: 32)')
    group.add_argument('--tile-frames', type=int, metavar='N', help="frames restored at once (default: the config's)")
    group.add_argument('--frame-overlap', type=int, metavar='N', help='minimum overlap in frames (default: 2)')
    group.add_argument('--blend', type=float, help='share of the overlap that is blended, 0 to 1 (default: 0.5)')
    group.add_argument('--tiles-per-batch', type=int, metavar='N', help='tiles restored at once (default: 1)')
    group.add_argument(
        '--precision', choices=['float32', 'bfloat16', 'float16'], help='autocast dtype (default: float32)'
    )
    group.add_argument('--ensemble', action='store_true', default=None, help='average eight reflections (8x slower)')


def tiling_arguments(args: argparse.Namespace) -> dict[str, Any]:
    """Return the tiling options as arguments of :func:`vrtspike.inference.restoring.tiling_of`."""
    given = {
        'tile': None if args.tile in (None, ['auto']) else pair(args.tile, '--tile'),
        'overlap': None if args.overlap is None else pair(args.overlap, '--overlap'),
        'frames': args.tile_frames,
        'frame_overlap': args.frame_overlap,
        **{name: getattr(args, name) for name in ('blend', 'tiles_per_batch', 'precision', 'ensemble')},
    }
    return {name: value for name, value in given.items() if value is not None}


def pair(values: list[Any], option: str) -> tuple[int, int]:
    """Return (height, width) from one number or two."""
    if len(values) > 2 or not all(str(value).isdigit() for value in values):
        raise ConfigError(f'{option} got {" ".join(map(str, values))}, expected one or two whole numbers of pixels')
    return int(values[0]), int(values[-1])


def run_tool(main: Callable[[], Any]) -> NoReturn:
    """Run a tool's ``main`` and exit: 0 if it returns, else with ``error: ...`` on stderr and the error's status."""
    keep_freed_memory()
    prepare_console()
    provide_cache_folder()
    # Notebooks and desktops set a backend that may not be installed here, or that needs a screen.
    os.environ['MPLBACKEND'] = 'Agg'
    status: Any = 0
    error: BaseException | None = None
    try:
        os.getcwd()  # raises if the folder was removed: libraries would give misleading errors
        main()
    except SystemExit as end:
        status = end.code
    except (Exception, KeyboardInterrupt) as caught:
        error = caught
    unwritten = close_stdout()  # before the error is printed, so that it comes last if both go to one file
    error = error or unwritten
    if isinstance(error, BrokenPipeError):  # the reader, such as `head`, has seen enough
        sys.exit(1)
    if error is not None:
        message = message_of(error)
        if message is None:
            raise error
        with suppress(OSError):
            print(f'error: {message}', file=sys.stderr)
        status = 130 if isinstance(error, KeyboardInterrupt) else getattr(error, 'exit_status', 1)
    sys.exit(status)


def prepare_console() -> None:
    """Make stdout and stderr print every text in any encoding. Replace them if they are closed."""
    codecs.register_error(CONSOLE_ERRORS, substitute)
    for name in ('stdout', 'stderr'):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, 'w', errors=CONSOLE_ERRORS))  # noqa: SIM115  until the process ends
        elif hasattr(stream, 'reconfigure'):
            stream.reconfigure(errors=CONSOLE_ERRORS)


def provide_cache_folder() -> None:
    """Give libraries a cache folder if the user has no home folder, like an unknown user in a container."""
    if os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~') != '~':
        return
    with suppress(OSError):
        folder = Path(tempfile.gettempdir(), f'cache_of_user_{os.getuid()}')
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.lstat().st_uid == os.getuid():  # the folder of another user could contain malicious code
            os.environ['XDG_CACHE_HOME'] = str(folder)


def substitute(error: UnicodeError) -> tuple[str, int]:
    """Replace characters that cannot be encoded by similar ASCII, or else by escapes of Python and JSON."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return text.translate(SUBSTITUTES).encode('ascii', 'backslashreplace').decode('ascii'), error.end


def close_stdout() -> OSError | None:
    """Flush stdout. If it cannot be written, discard the rest and return the error."""
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return error
    return None


def message_of(error: BaseException) -> str | None:
    """Return the message for the user, or None for a bug, which needs its traceback."""
    if isinstance(error, KeyboardInterrupt):
        return 'interrupted'
    if is_out_of_memory(error):
        reason = own_message(error).strip().partition('\n')[0]
        advice = 'close other programs, or work on less at once (smaller crops, tiles or batches)'
        return f'memory ran out{f" ({reason})" if reason else ""}: {advice}'
    if isinstance(error, OSError) and error.errno is not None:
        return explain_os_error(error)
    return own_message(error) if isinstance(error, (VrtSpikeError, OSError)) else None


def end_as_interrupted() -> None:
    """Make the signals of schedulers and closing terminals end a tool and its processes as Ctrl-C does."""
    for name in ('SIGTERM', 'SIGHUP'):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores
            signal.signal(number, signal.default_int_handler)


def own_message(error: BaseException) -> str:
    """Return an error's message. In one from a data loader's worker, it follows the traceback of that process."""
    text = str(error)
    if not text.startswith('Caught ') or 'DataLoader worker process' not in text:
        return text
    return re.split(rf'\n(?:[\w.]+\.)?{type(error).__name__}: ', text)[-1].rstrip()
