"""scikit-learn estimators and ai.onnx.ml, against scikit-learn itself."""

from __future__ import annotations

import pickle
import sys
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("skl2onnx")

from sklearn import datasets
from sklearn.base import BaseEstimator, is_classifier, is_regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    VotingClassifier,
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
from sklearn.naive_bayes import BernoulliNB, GaussianNB, MultinomialNB
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    KBinsDiscretizer,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    PolynomialFeatures,
    PowerTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import SVC, SVR, LinearSVC, LinearSVR, NuSVC, NuSVR
from sklearn.tree import DecisionTreeClassifier

import trimtab
from trimtab import InputError, UnsupportedOpError

IRIS = datasets.load_iris()
X = IRIS.data.astype(np.float32)
NAMES = IRIS.target_names[IRIS.target]


@dataclass(frozen=True)
class Case:
    """An estimator, and how close it must come."""

    estimator: BaseEstimator
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
    case(
        make_pipeline(
            ColumnTransformer(
                [("a", StandardScaler(), [0, 2]), ("b", MinMaxScaler(), [3])]
            ),
            LogisticRegression(),
        ),
        tolerance=1e-4,
    ),
    case(SVC(random_state=0), tolerance=1e-4),
    case(SVC(kernel="sigmoid", random_state=0), tolerance=1e-4),
    case(SVC(probability=True, random_state=0), tolerance=1e-4),
    case(NuSVC(nu=0.2, random_state=0), tolerance=1e-4),
    case(NuSVR(), tolerance=1e-4),
    case(LinearSVR(random_state=0), tolerance=1e-4),
    case(DecisionTreeClassifier(random_state=0)),
    case(RandomForestClassifier(8, random_state=0)),
    case(GradientBoostingClassifier(n_estimators=8)),
    case(GradientBoostingRegressor(n_estimators=8)),
    case(ExtraTreesRegressor(8, random_state=0)),
    case(ExtraTreesClassifier(8, random_state=0)),
    case(RandomForestRegressor(8, random_state=0)),
    case(BaggingClassifier(n_estimators=4, random_state=0)),
    case(BaggingRegressor(n_estimators=4, random_state=0)),
    case(AdaBoostClassifier(n_estimators=4, random_state=0)),
    case(AdaBoostRegressor(n_estimators=4, random_state=0), tolerance=1e-4),
    case(CalibratedClassifierCV(LinearSVC(random_state=0)), tolerance=1e-4),
    case(
        VotingClassifier(
            [
                ("a", LogisticRegression(max_iter=500)),
                ("b", DecisionTreeClassifier(max_depth=3, random_state=0)),
            ],
            voting="soft",
            flatten_transform=False,
        ),
        tolerance=1e-4,
    ),
    case(
        StackingClassifier(
            [
                ("a", LogisticRegression(max_iter=500)),
                ("b", RandomForestClassifier(4, random_state=0)),
            ]
        ),
        tolerance=1e-4,
    ),
    case(KBinsDiscretizer(4, encode="ordinal")),
    case(PowerTransformer(), tolerance=1e-3),
    case(BernoulliNB(), tolerance=1e-4),
    case(MultinomialNB(), tolerance=1e-4),
]


def fit(estimator: BaseEstimator, y: Any = IRIS.target) -> BaseEstimator:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return estimator.fit(X, y)


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
    model = trimtab.load_model(estimator, fallback=False)
    assert [spec.name for spec in model.inputs] == ["X"]
    check(model.run(X), estimator, case.tolerance)


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(max_iter=500),
        SGDClassifier(random_state=0),
        GaussianNB(),
        MLPClassifier(max_iter=30, random_state=0),
        RandomForestClassifier(4, random_state=0),
        SVC(probability=True, random_state=0),
    ],
    ids=lambda value: type(value).__name__,
)
def test_named_classes_become_numbers_and_the_names_stay_known(
    estimator: BaseEstimator,
) -> None:
    estimator = fit(estimator, NAMES)
    model = trimtab.load_model(estimator, fallback=False)
    names = np.array(model.class_names)
    assert list(names) == list(IRIS.target_names)
    labels = model.run(X)["label"]
    assert labels.dtype == np.int64
    np.testing.assert_array_equal(names[labels], estimator.predict(X))


def test_votes_that_are_equal_go_to_the_first_class() -> None:
    """Weights of 1/20 add up to more than their number in double."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 6)).astype(np.float32)
    y = x[:, 0] * x[:, 1] + np.sin(x[:, 2]) > 0
    forest = RandomForestClassifier(20, random_state=0).fit(x, y)
    rows = rng.normal(size=(400, 6)).astype(np.float32)
    assert (forest.predict_proba(rows)[:, 0] == 0.5).any()
    label, _ = trimtab.load_model(forest, fallback=False)(rows)
    np.testing.assert_array_equal(label, forest.predict(rows))


# ---- columns ------------------------------------------------------------------------


def table() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "age": rng.integers(18, 80, (60, 1)),
        "income": rng.normal(50, 10, (60, 1)).astype(np.float32),
        "rooms": rng.integers(1, 4, (60, 1)),
    }


def test_columns_of_several_dtypes_are_inputs_of_their_own() -> None:
    pd = pytest.importorskip("pandas")
    columns = table()
    frame = pd.DataFrame({name: column[:, 0] for name, column in columns.items()})
    target = (columns["income"][:, 0] > 50).astype(int)
    pipeline = make_pipeline(
        ColumnTransformer(
            [
                ("numbers", StandardScaler(), ["age", "income"]),
                ("kinds", OneHotEncoder(handle_unknown="ignore"), ["rooms"]),
            ]
        ),
        LogisticRegression(),
    ).fit(frame, target)
    with pytest.raises(InputError, match="takes columns by name"):
        trimtab.load_model(pipeline)
    model = trimtab.load_model(pipeline, example_inputs=frame, fallback=False)
    assert [str(spec) for spec in model.inputs] == [
        "age: int64[batch,1]",
        "income: float32[batch,1]",
        "rooms: int64[batch,1]",
    ]
    found = model.run(columns)
    np.testing.assert_array_equal(found["label"], pipeline.predict(frame))
    np.testing.assert_allclose(
        found["probabilities"], pipeline.predict_proba(frame), 1e-4, 1e-4
    )


# ---- what is refused ---------------------------------------------------------------


def test_an_estimator_that_is_not_fitted_is_told() -> None:
    with pytest.raises(InputError, match="fit it first"):
        trimtab.load_model(LogisticRegression())


class Own(BaseEstimator):
    """An estimator that skl2onnx does not know."""

    n_features_in_ = 4

    def predict(self, x: Any) -> Any:
        return x


def test_an_estimator_without_a_converter_is_named() -> None:
    with pytest.raises(UnsupportedOpError, match="cannot convert Own"):
        trimtab.load_model(Own())


def test_a_missing_package_is_told_with_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'trimtab\[sklearn\]'"):
        trimtab.load_model(fit(Ridge()))


def test_files_of_skl2onnx_are_read_as_they_come() -> None:
    """With dicts of probabilities, as it writes them by default."""
    from skl2onnx import to_onnx

    estimator = fit(LogisticRegression(max_iter=500), NAMES)
    content = to_onnx(estimator, X[:1]).SerializeToString()
    model = trimtab.load_model(content, fallback=False)
    labels, probabilities = model(X)
    assert model.class_names == list(IRIS.target_names)
    np.testing.assert_array_equal(IRIS.target_names[labels], estimator.predict(X))
    np.testing.assert_allclose(probabilities, estimator.predict_proba(X), 1e-5, 1e-5)


def test_converting_changes_nothing_in_the_estimator() -> None:
    estimator = fit(make_pipeline(StandardScaler(), RandomForestClassifier(3)))
    before = pickle.dumps(estimator)
    trimtab.load_model(estimator)
    assert pickle.dumps(estimator) == before
