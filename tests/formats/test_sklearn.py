"""scikit-learn estimators and ai.onnx.ml, against scikit-learn itself."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("skl2onnx")

from sklearn import datasets
from sklearn.base import BaseEstimator, is_classifier, is_regressor
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import (
    LinearRegression,
    LogisticRegression,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    MinMaxScaler,
    Normalizer,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import SVC, SVR, LinearSVC
from sklearn.tree import DecisionTreeClassifier

import trimtab
from trimtab.fallback import FallbackWarning

IRIS = datasets.load_iris()
X = IRIS.data.astype(np.float32)
NAMES = IRIS.target_names[IRIS.target]


@dataclass(frozen=True)
class Case:
    """An estimator; whether all of it runs in the engine."""

    estimator: BaseEstimator
    is_native: bool = True
    tolerance: float = 1e-5


def case(estimator: BaseEstimator, **more: Any) -> Any:
    step = estimator[-1] if hasattr(estimator, "steps") else estimator
    return pytest.param(Case(estimator, **more), id=type(step).__name__)


CASES = [
    case(LinearRegression()),
    case(Ridge()),
    case(MLPRegressor(max_iter=30, random_state=0), tolerance=1e-4),
    case(SVR(), tolerance=1e-4),
    case(SVR(kernel="poly"), tolerance=2e-3),
    case(LogisticRegression(max_iter=500)),
    case(RidgeClassifier()),
    case(SGDClassifier(random_state=0), tolerance=1e-4),
    case(LinearSVC(random_state=0)),
    case(MLPClassifier(max_iter=30, random_state=0)),
    case(GaussianNB(), tolerance=1e-4),
    case(LinearDiscriminantAnalysis(), tolerance=1e-4),
    case(StandardScaler()),
    case(MinMaxScaler()),
    case(RobustScaler()),
    case(Normalizer("l1")),
    case(Normalizer("l2")),
    case(Normalizer("max")),
    case(Binarizer(threshold=2.0)),
    case(PCA(2), tolerance=1e-4),
    case(PolynomialFeatures(2)),
    case(SelectKBest(k=2)),
    case(SimpleImputer()),
    case(KMeans(3, random_state=0), tolerance=1e-3),
    case(make_pipeline(StandardScaler(), PCA(3), LogisticRegression()), tolerance=1e-4),
    case(make_pipeline(SimpleImputer(), MinMaxScaler(), SVR()), tolerance=1e-4),
    case(SVC(random_state=0), is_native=False, tolerance=1e-4),
    case(DecisionTreeClassifier(random_state=0)),
    case(RandomForestClassifier(8, random_state=0)),
    case(GradientBoostingClassifier(n_estimators=8)),
    case(GradientBoostingRegressor(n_estimators=8)),
    case(ExtraTreesRegressor(8, random_state=0)),
]


def fit(estimator: BaseEstimator, y: Any = IRIS.target) -> BaseEstimator:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return estimator.fit(X, y)


def load(estimator: BaseEstimator, *, is_native: bool) -> trimtab.Model:
    if is_native:
        return trimtab.load_model(estimator, fallback=False)
    with pytest.warns(FallbackWarning):
        return trimtab.load_model(estimator)


def check(found: dict[str, np.ndarray], model: BaseEstimator, tolerance: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if is_classifier(model):
            np.testing.assert_array_equal(found["label"], model.predict(X))
            scores = getattr(model, "predict_proba", None) or model.decision_function
            np.testing.assert_allclose(
                found["probabilities"], scores(X), tolerance, tolerance
            )
        elif is_regressor(model):
            expected = model.predict(X).reshape(len(X), -1)
            result = found["variable"].reshape(len(X), -1)
            np.testing.assert_allclose(result, expected, tolerance, tolerance)
        elif isinstance(model, KMeans):
            np.testing.assert_array_equal(found["label"], model.predict(X))
            np.testing.assert_allclose(
                found["scores"], model.transform(X), tolerance, tolerance
            )
        else:
            expected = model.transform(X)
            np.testing.assert_allclose(
                found["variable"], expected, tolerance, tolerance
            )


@pytest.mark.parametrize("case", CASES)
def test_an_estimator_gives_what_scikit_learn_gives(case: Case) -> None:
    estimator = fit(case.estimator)
    model = load(estimator, is_native=case.is_native)
    assert [spec.name for spec in model.inputs] == ["X"]
    check(model.run(X), estimator, case.tolerance)


@pytest.mark.parametrize(
    ("estimator", "is_native"),
    [
        (LogisticRegression(max_iter=500), True),
        (SGDClassifier(random_state=0), True),
        (GaussianNB(), True),
        (MLPClassifier(max_iter=30, random_state=0), True),
        (RandomForestClassifier(4, random_state=0), True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_named_classes_become_numbers_and_the_names_stay_known(
    estimator: BaseEstimator, is_native: bool
) -> None:
    estimator = fit(estimator, NAMES)
    model = load(estimator, is_native=is_native)
    names = np.array(model.class_names)
    assert list(names) == list(IRIS.target_names)
    labels = model.run(X)["label"]
    assert labels.dtype == np.int64
    np.testing.assert_array_equal(names[labels], estimator.predict(X))
