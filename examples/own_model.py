"""Audit a classifier of one's own: the ten lines of the README, on the shipped one."""

import logging

from anomech import Auditor, Calibrator, ClassificationTask, Examples
from anomech.organisms.fashion import demo_split, shipped_model

logging.basicConfig(level=logging.INFO, format="%(message)s")

trusted, inputs = demo_split(trusted=400)
model = shipped_model()  # any nn.Module that maps [n, channels, height, width] in [0, 1] to logits [n, classes]

task = ClassificationTask(model)
auditor = Auditor(task, calibrator=Calibrator(fpr=0.01)).fit(Examples(x=trusted.x, y=trusted.y))
verdicts = auditor.audit(Examples(x=inputs.x))

logging.info("%d of %d flagged", int(verdicts.flagged.sum()), len(verdicts))
for row in verdicts.to_table().to_pylist()[:3]:
    logging.info("%s", row)
auditor.save("anomech-own-model")  # Auditor.load("anomech-own-model", model) scores inputs that arrive later
