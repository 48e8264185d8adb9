"""scikit-learn's answers to the cases of tests/metrics.rs: JSON on stdin, JSON on stdout.

In: [{"classes": [name, ...], "truth": [int, ...], "predicted": [int, ...], "scores": [float, ...]}, ...].
Class 0 is the positive one for everything that reads `scores`. Out: one object per case, in order;
NaN and what scikit-learn cannot say are null, an infinite threshold is "inf".
"""

import json
import math
import sys
import warnings

import numpy as np
from sklearn import metrics


def averages(truth, predicted, **options):
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        truth, predicted, zero_division=np.nan, **options
    )
    return {"precision": precision, "recall": recall, "f1": f1, "support": support}


def answer(case):
    classes, truth, predicted = case["classes"], case["truth"], case["predicted"]
    labels = list(range(len(classes)))
    result = {
        "confusion_matrix": metrics.confusion_matrix(truth, predicted, labels=labels),
        "per_class": averages(truth, predicted, labels=labels),
        # Without `labels`, a class that occurs nowhere is left out.
        "macro": averages(truth, predicted, average="macro"),
        "weighted": averages(truth, predicted, average="weighted"),
        "accuracy": metrics.accuracy_score(truth, predicted),
        "balanced_accuracy": metrics.balanced_accuracy_score(truth, predicted),
        "matthews": metrics.matthews_corrcoef(truth, predicted),
        "reports": {
            digits: metrics.classification_report(
                truth, predicted, labels=labels, target_names=classes, digits=digits, zero_division=0
            )
            for digits in (2, 4, 15)
        },
        "roc": None,
        "average_precision": None,
    }
    positive = np.array(truth) == 0
    if positive.any():
        result["average_precision"] = metrics.average_precision_score(positive, case["scores"])
    if positive.any() and not positive.all():
        false_positive_rate, true_positive_rate, thresholds = metrics.roc_curve(
            positive, case["scores"], drop_intermediate=False
        )
        result["roc"] = {
            "thresholds": thresholds,
            "false_positive_rate": false_positive_rate,
            "true_positive_rate": true_positive_rate,
            "auc": metrics.roc_auc_score(positive, case["scores"]),
        }
    return result


def plain(value):
    """The value as strict JSON can hold it."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, np.ndarray)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "inf"
    return value


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    json.dump([plain(answer(case)) for case in json.load(sys.stdin)], sys.stdout, allow_nan=False)
