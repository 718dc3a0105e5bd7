"""The tasks: a literal table."""

from headstart.errors import UsageError
from headstart.tasks.image_classification import IMAGE_CLASSIFICATION
from headstart.tasks.task import Task

TASKS: dict[str, Task] = {task.name: task for task in (IMAGE_CLASSIFICATION,)}


def task_named(name: str) -> Task:
    """Return a task by name; `auto` is the only one there is so far.

    Raises:
        UsageError: there is none of this name.
    """
    if name == "auto":
        return IMAGE_CLASSIFICATION
    if name not in TASKS:
        raise UsageError(f"There is no task called {name!r}.", hint=f"One of auto, {', '.join(TASKS)}.")
    return TASKS[name]
