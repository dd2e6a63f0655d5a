"""Replaces the teacher's config file in a distillation config by the node from which the teacher is built."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine.config import Config

from vrtspike.errors import ConfigError
from vrtspike.plugins import configs_folder


def resolve_teacher(config: Config, load: Callable[[Path], Config]) -> None:
    """Replace a path at ``model.teacher`` by the ``model`` of that config file.

    A relative path is looked up in the working directory, then beside the package's ``configs/``.

    Args:
        config: The student's config, changed in place.
        load: Returns the resolved config of a file.

    Raises:
        ConfigError: There is no such file, or it has problems.
    """
    model: Any = config.get('model')
    teacher = model.get('teacher') if isinstance(model, dict) else None
    if not isinstance(teacher, str):
        return
    candidates = (Path(teacher).expanduser(), configs_folder().parent / teacher)
    path = next((candidate for candidate in candidates if candidate.is_file()), None)
    if path is None:
        raise ConfigError(f'model.teacher: {teacher!r} is not a file; give the config of the trained teacher')
    model.teacher = load(path).model
