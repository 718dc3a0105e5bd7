"""How one label an example is scored, whatever the example is."""

from headstart.metrics import labels
from headstart.tasks.task import Scoring

ONE_LABEL = Scoring(
    read=labels.Labelled.of,
    score=labels.scores,
    explained=labels.EXPLAINED,
    shares=labels.SHARES,
    lower=("log loss", "calibration error"),
)
