"""scikit-learn's answers to src/stats/logistic_head/tests.rs: JSON on stdin, JSON on stdout.

In: [{"features": [[float]], "covid": [bool], "weights": [float], "penalties": [float]}, ...].
Out: [{"mean", "std", "heads": [{"weight", "bias", "objective"}, ...]}, ...]: weights of standardised features, the bias
of raw ones.
"""

import json
import sys

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler


def answer(question):
    raw = np.array(question["features"], np.float32).astype(np.float64)
    covid, weights = np.array(question["covid"]), np.array(question["weights"])
    scaler = StandardScaler().fit(raw, sample_weight=weights)
    features = scaler.transform(raw)
    heads = []
    for penalty in question["penalties"]:
        model = LogisticRegression(
            C=1 / (penalty * weights.sum()), solver="newton-cholesky", tol=1e-12, max_iter=10_000
        ).fit(features, covid, sample_weight=weights)
        standardised, bias = model.coef_[0], model.intercept_[0]
        margin = np.where(covid, 1, -1) * (features @ standardised + bias)
        losses = np.average(np.logaddexp(0, -margin), weights=weights)
        heads.append(
            {
                "weight": standardised.tolist(),
                "bias": bias - standardised @ (scaler.mean_ / scaler.scale_),
                "objective": losses + penalty / 2 * standardised @ standardised,
            }
        )
    return {"mean": scaler.mean_.tolist(), "std": scaler.scale_.tolist(), "heads": heads}


json.dump([answer(question) for question in json.load(sys.stdin)], sys.stdout)
