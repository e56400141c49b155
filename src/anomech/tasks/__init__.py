"""Tasks: the one place where user code enters."""

from anomech.tasks.base import Cost, Task
from anomech.tasks.causal_lm import CausalLMTask
from anomech.tasks.classification import ClassificationTask
from anomech.tasks.sequence_classification import SequenceClassificationTask

__all__ = ["CausalLMTask", "ClassificationTask", "Cost", "SequenceClassificationTask", "Task"]
