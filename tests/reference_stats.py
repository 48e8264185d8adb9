"""scikit-learn's, SciPy's and plain NumPy's answers to tests/stats.rs: JSON on stdin, JSON on stdout.

In: {"performance": [{"covid": [bool], "score": [float], "decision": [bool], "weight": [int]}, ...],
     "mcnemar": [[only_a, only_b], ...],
     "calibration": [{"covid": [bool], "probability": [float], "bins": int}, ...],
     "bootstrap": {"covid", "score_a", "decision_a", "score_b", "decision_b", "patient", "draws"}}.
Out: an object with the same keys; NaN and what is undefined are null.
"""

import json
import math
import sys
import warnings

import numpy as np
from scipy import optimize, special, stats
from sklearn import calibration, metrics

CLIP = 1e-7


def measures(covid, score, decision, weight):
    """In the order of Measure::ALL."""
    covid, decision = np.array(covid, bool), np.array(decision, bool)

    def precision_or_recall(function, label):
        return function(
            covid, decision, pos_label=label, sample_weight=weight, zero_division=np.nan, labels=[False, True]
        )

    both = len(set(covid)) == 2
    return [
        metrics.accuracy_score(covid, decision, sample_weight=weight),
        precision_or_recall(metrics.recall_score, True),
        precision_or_recall(metrics.recall_score, False),
        precision_or_recall(metrics.precision_score, True),
        precision_or_recall(metrics.precision_score, False),
        metrics.balanced_accuracy_score(covid, decision, sample_weight=weight) if both else None,
        metrics.f1_score(covid, decision, average="macro", sample_weight=weight),
        metrics.matthews_corrcoef(covid, decision, sample_weight=weight)
        if both and len(set(decision)) == 2
        else None,
        metrics.roc_auc_score(covid, score, sample_weight=weight) if both else None,
        metrics.average_precision_score(covid, score, sample_weight=weight) if covid.any() else None,
    ]


def performance(case):
    columns = [np.array(case[name]) for name in ("covid", "score", "decision")]
    weight = np.array(case["weight"])
    repeated = [np.repeat(column, weight) for column in columns]
    # Without the samples of weight 0, whose class and score scikit-learn would otherwise take for present.
    present = [column[weight > 0] for column in columns]
    return {
        "plain": measures(*columns, None),
        "repeated": measures(*repeated, None) if weight.any() else None,
        "weighted": measures(*present, weight[weight > 0]) if weight.any() else None,
    }


def solved(function, low, high):
    return optimize.brentq(function, low, high, xtol=1e-15, rtol=8.9e-16, maxiter=500)


def separable(covid, logits):
    """Whether a linear programme finds a line on whose right side no sample lies wrong, and some not upon it."""
    signed = np.where(covid == 1, 1.0, -1.0)[:, None] * np.column_stack([np.ones_like(logits), logits])
    found = optimize.linprog(-signed.sum(axis=0), A_ub=-signed, b_ub=np.zeros(len(covid)), bounds=[(-20, 20), (-1, 1)])
    return -found.fun > 1e-9


def line(covid, logits):
    """Logistic regression by SciPy's minimiser and root finder, whose last digits are then mended."""

    def gradient(at):
        error = special.expit(at[0] + at[1] * logits) - covid
        return [math.fsum(error), math.fsum(error * logits)]

    def hessian(at):
        p = special.expit(at[0] + at[1] * logits)
        w = p * (1 - p)
        return [[w.sum(), (w * logits).sum()], [(w * logits).sum(), (w * logits**2).sum()]]

    def loss(at):
        z = at[0] + at[1] * logits
        return (np.logaddexp(0, z) - covid * z).sum()

    rough = optimize.minimize(loss, [0.0, 0.0], jac=gradient, method="BFGS", options={"gtol": 1e-8, "maxiter": 2000})
    fine = optimize.root(gradient, rough.x, jac=hessian, method="hybr", tol=1e-15)
    at = fine.x
    for _ in range(3):
        step = np.linalg.solve(hessian(at), gradient(at))
        at = at - step
    return {"intercept": at[0], "slope": at[1], "last_step": np.abs(step).max()}


def temperature(covid, logits):
    def loss(t):
        z = logits / t
        return (np.logaddexp(0, z) - covid * z).mean()

    def derivative(inverse):
        return ((special.expit(inverse * logits) - covid) * logits).sum()

    low, high = derivative(1 / 20), derivative(1 / 0.05)
    if not logits.any():
        value, bound = 1.0, False
    elif high <= 0:
        value, bound = 0.05, True
    elif low >= 0:
        value, bound = 20.0, True
    else:
        value, bound = 1 / solved(derivative, 1 / 20, 1 / 0.05), False
    # By another way, as exact as a minimum of flat values can be found.
    searched = optimize.minimize_scalar(
        lambda log: loss(math.exp(log)), bounds=(math.log(0.05), math.log(20)), method="bounded", options={"xatol": 1e-9}
    )
    return {"value": value, "at_bound": bound, "before": loss(1.0), "after": loss(value), "least": searched.fun}


def calibrate(case):
    covid = np.array(case["covid"], float)
    probability = np.array(case["probability"])
    bins = case["bins"]
    logits = special.logit(np.clip(probability, CLIP, 1 - CLIP))
    observed, predicted = calibration.calibration_curve(covid, probability, n_bins=bins)
    # The counts and the errors, which scikit-learn does not give.
    place = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], probability)
    count = np.bincount(place, minlength=bins)
    gaps = np.abs(observed - predicted)
    intervals = []
    for index in np.flatnonzero(count):
        of_covid = int(covid[place == index].sum())
        interval = stats.binomtest(of_covid, int(count[index])).proportion_ci(0.95, method="wilson")
        intervals.append([interval.low, interval.high])
    both = 0 < covid.sum() < len(covid)
    return {
        "observed": observed,
        "predicted": predicted,
        "count": count[count > 0],
        "intervals": intervals,
        "expected_error": np.average(gaps, weights=count[count > 0]),
        "maximum_error": gaps.max(),
        "brier": metrics.brier_score_loss(covid, probability, pos_label=1, labels=[0, 1]),
        "line": line(covid, logits) if not separable(covid, logits) and len(set(logits)) > 1 else None,
        "in_the_large": solved(lambda a: (special.expit(a + logits) - covid).sum(), -60, 60) if both else None,
        "temperature": temperature(covid, logits),
    }


def plain_measures(covid, score, decision):
    """NumPy alone, because scikit-learn is too slow for thousands of draws."""
    tp, fn = (covid & decision).sum(), (covid & ~decision).sum()
    fp, tn = (~covid & decision).sum(), (~covid & ~decision).sum()
    recall, specificity = tp / (tp + fn), tn / (tn + fp)
    above = (score[covid][:, None] > score[~covid]).mean() + (score[covid][:, None] == score[~covid]).mean() / 2
    precision = [covid[score >= s].mean() for s in score[covid]]
    return [
        (tp + tn) / len(covid),
        recall,
        specificity,
        tp / (tp + fp),
        tn / (tn + fn),
        (recall + specificity) / 2,
        (2 * tp / (2 * tp + fp + fn) + 2 * tn / (2 * tn + fp + fn)) / 2,
        np.corrcoef(covid, decision)[0, 1],
        above,
        np.mean(precision),
    ]


def bootstrap(case):
    """For each measure where the bounds of our interval must lie: 4.5 standard errors of the share of draws below."""
    columns = {name: np.array(value) for name, value in case.items() if name != "draws"}
    draws, patient = case["draws"], columns["patient"]
    members = [np.flatnonzero(patient == p) for p in np.unique(patient)]
    random = np.random.default_rng(1)
    drawn = []
    for _ in range(draws):
        rows = np.concatenate([members[p] for p in random.integers(len(members), size=len(members))])
        covid = columns["covid"][rows]
        a, b = (plain_measures(covid, columns[f"score_{m}"][rows], columns[f"decision_{m}"][rows]) for m in "ab")
        drawn.append([a, np.subtract(b, a)])
    drawn = np.array(drawn)
    error = 4.5 * math.sqrt(2 * 0.025 * 0.975 / draws)
    shares = [0.025 - error, 0.025 + error, 0.975 - error, 0.975 + error]
    bounds = np.nanquantile(drawn, shares, axis=0)
    return {"a": bounds[:, 0].T, "difference": bounds[:, 1].T}


def plain(value):
    """The value as strict JSON can hold it."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, np.ndarray)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    questions = json.load(sys.stdin)
    answers = {
        "performance": [performance(case) for case in questions["performance"]],
        "mcnemar": [stats.binomtest(a, a + b).pvalue if a + b else 1.0 for a, b in questions["mcnemar"]],
        "calibration": [calibrate(case) for case in questions["calibration"]],
        "bootstrap": bootstrap(questions["bootstrap"]),
    }
    json.dump(plain(answers), sys.stdout, allow_nan=False)
