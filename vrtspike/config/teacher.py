"""A distillation config names its teacher by a config file; models are built from nodes alone."""

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
        ConfigError: There is no such file, or it has problems of its own.
    """
    model: Any = config.get('model')
    teacher = model.get('teacher') if isinstance(model, dict) else None
    if not isinstance(teacher, str):
        return
    places = (Path(teacher).expanduser(), configs_folder().parent / teacher)
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise ConfigError(f'model.teacher: {teacher!r} is no file; name the config that the teacher was trained with')
    model.teacher = load(path).model
