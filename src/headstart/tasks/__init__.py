"""The tasks: a literal table."""

from headstart.data.examples import Goal, Kind
from headstart.errors import UsageError
from headstart.tasks.image_classification import IMAGE_CLASSIFICATION
from headstart.tasks.object_detection import OBJECT_DETECTION
from headstart.tasks.task import Task
from headstart.tasks.text_classification import TEXT_CLASSIFICATION
from headstart.tasks.translation import TRANSLATION

TABLE = (IMAGE_CLASSIFICATION, OBJECT_DETECTION, TEXT_CLASSIFICATION, TRANSLATION)
TASKS: dict[str, Task] = {task.name: task for task in TABLE}


def task_named(name: str) -> Task:
    """Return a task by name.

    Raises:
        UsageError: there is none of this name.
    """
    if name not in TASKS:
        raise UsageError(f"There is no task called {name!r}.", hint=f"One of auto, {', '.join(TASKS)}.")
    return TASKS[name]


def kind_asked(name: str) -> Kind | None:
    """Return what kind of examples a task takes; None for `auto`: what the data are decides."""
    return None if name == "auto" else task_named(name).kind


def goal_of(name: str) -> Goal | None:
    """Return what a task says of an example, where that is one thing; None for `auto`."""
    goals = () if name == "auto" else task_named(name).goals
    return goals[0] if len(goals) == 1 else None


def task_for(name: str, kind: Kind, goal: Goal = "label") -> Task:
    """Return the task of this name; of `auto`, the first that says such things of this kind of examples."""
    if name != "auto":
        return task_named(name)
    return next(task for task in TASKS.values() if task.kind == kind and goal in task.goals)
