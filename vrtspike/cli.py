"""What the command-line tools share: their parser, the arguments about configs, and how errors reach the user."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from mmengine.config import DictAction

from vrtspike.errors import ConfigError, VrtSpikeError
from vrtspike.native.allocator import keep_freed_memory


def tool_parser(doc: str) -> argparse.ArgumentParser:
    """Return a parser whose ``--help`` shows the tool's docstring: what it does first, its examples last."""
    purpose, _, examples = doc.partition('Examples:')
    return argparse.ArgumentParser(
        description=purpose.strip(),
        epilog=f'examples:{examples.rstrip()}' if examples else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``config``, ``--cfg-options`` and ``--plugins``, which :func:`config_arguments` reads back."""
    parser.add_argument('config', help='a config file, as in configs/vrt_spike_fast.py')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=OverrideAction,
        default={},
        metavar='KEY=VALUE',
        help='set dotted keys of the config, as in train_cfg.max_iters=100 model.backbone.depths=[2,2]',
    )
    add_plugins_argument(parser)


def add_plugins_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--plugins``."""
    parser.add_argument(
        '--plugins', nargs='+', default=[], metavar='NAME', help='plugins to load, each a name or a path'
    )


def add_source_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--options``, the arguments of a clip source that reads a data set."""
    parser.add_argument(
        '--options',
        nargs='+',
        action=OverrideAction,
        default={},
        metavar='KEY=VALUE',
        help='arguments of the clip source, as in type=GoProSpike threshold=2',
    )


def config_arguments(args: argparse.Namespace) -> dict[str, Any]:
    """Return the keyword arguments of :func:`vrtspike.config.load_config` that the command line gave."""
    return {'path': args.config, 'overrides': args.cfg_options, 'plugins': args.plugins}


class OverrideAction(DictAction):
    """MMEngine's ``KEY=VALUE`` action that keeps the spaces of a text and refuses malformed values as usage errors."""

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

    @staticmethod
    def _parse_iterable(val: str) -> Any:
        is_list = ',' in val or val.strip().startswith(('(', '['))
        return DictAction._parse_iterable(val) if is_list else DictAction._parse_int_float_bool(val.strip('\'"'))


def add_tiling_arguments(parser: argparse.ArgumentParser) -> None:
    """Add how clips are cut into tiles, which :func:`tiling_arguments` reads back."""
    group = parser.add_argument_group('tiling', "what is not given is the config's model.tiling, or a whole frame")
    group.add_argument('--tile', nargs='+', metavar='PIXELS', help="side, height and width, or 'auto' for free memory")
    group.add_argument('--overlap', type=int, nargs='+', metavar='PIXELS', help='least overlap of tiles (default: 32)')
    group.add_argument('--tile-frames', type=int, metavar='N', help="frames restored at once (default: the config's)")
    group.add_argument('--frame-overlap', type=int, metavar='N', help='frames that these share at least (default: 2)')
    group.add_argument('--blend', type=float, help='part of the overlap over which tiles fade, 0 to 1 (default: 0.5)')
    group.add_argument('--tiles-per-batch', type=int, metavar='N', help='tiles restored at once (default: 1)')
    group.add_argument('--precision', choices=['float32', 'bfloat16', 'float16'], help='of autocast (default: float32)')
    group.add_argument('--ensemble', action='store_true', default=None, help='mean over eight reflections, 8x slower')


def tiling_arguments(args: argparse.Namespace) -> dict[str, Any]:
    """Return what the command line says about tiling, as :func:`vrtspike.inference.restoring.tiling_of` takes it."""
    given = {
        'tile': None if args.tile in (None, ['auto']) else pair(args.tile, '--tile'),
        'overlap': None if args.overlap is None else pair(args.overlap, '--overlap'),
        'frames': args.tile_frames,
        'frame_overlap': args.frame_overlap,
        **{name: getattr(args, name) for name in ('blend', 'tiles_per_batch', 'precision', 'ensemble')},
    }
    return {name: value for name, value in given.items() if value is not None}


def pair(values: list[Any], option: str) -> tuple[int, int]:
    """Return (height, width) of one number or two."""
    if len(values) > 2 or not all(str(value).isdigit() for value in values):
        raise ConfigError(f'{option} got {" ".join(map(str, values))}, expected one whole number of pixels or two')
    return int(values[0]), int(values[-1])


def run_tool(main: Callable[[], Any]) -> NoReturn:
    """Run a tool's ``main`` and exit: 0 where it returns, else with ``error: ...`` on stderr and the error's status."""
    keep_freed_memory()
    try:
        main()
        sys.stdout.flush()
    except VrtSpikeError as error:
        sys.stdout.flush()  # the error comes last, also where both go to one file
        print(f'error: {own_message(error)}', file=sys.stderr)
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        print('error: interrupted', file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough; nothing is left to flush to
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    sys.exit(0)


def end_as_interrupted() -> None:
    """Let what schedulers and closing terminals send end a tool as Ctrl-C does: what it has started ends with it."""
    for name in ('SIGTERM', 'SIGHUP'):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores
            signal.signal(number, signal.default_int_handler)


def own_message(error: VrtSpikeError) -> str:
    """Return an error's message; from a data loader's worker it comes wrapped in that process's traceback."""
    text = str(error)
    if not text.startswith('Caught ') or 'DataLoader worker process' not in text:
        return text
    kind = f'{type(error).__module__}.{type(error).__name__}: '
    return text.rpartition(f'\n{kind}')[2].rstrip()
