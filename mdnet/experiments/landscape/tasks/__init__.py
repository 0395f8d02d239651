"""The tasks of the entropy landscape by name: spirals, images, house prices and passages of text."""

from mdnet.experiments.landscape.task import Task
from mdnet.experiments.landscape.tasks.houses import HOUSES, HOUSES_SHORT
from mdnet.experiments.landscape.tasks.images import CIFAR, CIFAR_SHORT, MNIST, MNIST_SHORT
from mdnet.experiments.landscape.tasks.passages import LANGUAGE, LANGUAGE_SHORT
from mdnet.experiments.landscape.tasks.spirals import CLASSIFICATION, REGRESSION

_ALL = (
    REGRESSION,
    CLASSIFICATION,
    MNIST,
    MNIST_SHORT,
    CIFAR,
    CIFAR_SHORT,
    HOUSES,
    HOUSES_SHORT,
    LANGUAGE,
    LANGUAGE_SHORT,
)
TASKS: dict[str, Task] = {task.name: task for task in _ALL}

__all__ = ["TASKS"]
