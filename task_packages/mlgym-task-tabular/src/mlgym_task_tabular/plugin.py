"""What this distribution registers with mlgym. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable

from mlgym_core import SuiteSpec, TaskMetric, TaskSpec, hookimpl

MLGYM_API = 1


@hookimpl
def mlgym_tasks() -> Iterable[TaskSpec]:
    """Register the two tasks."""
    yield TaskSpec(
        "tabular/house-price",
        "mlgym_task_tabular.house_price:HousePrice",
        "Predict what houses in Ames, Iowa, were sold for",
        metrics=(TaskMetric("r2", "maximize"), TaskMetric("rmse", "minimize")),
        tags=("tabular", "regression", "cpu"),
        variants=("ames", "kaggle"),
        requirements=("pandas>=2.2", "scikit-learn>=1.5"),
    )
    yield TaskSpec(
        "tabular/titanic",
        "mlgym_task_tabular.titanic:Titanic",
        "Predict which passengers survived the sinking of the Titanic",
        metrics=(TaskMetric("accuracy", "maximize"),),
        tags=("tabular", "classification", "cpu"),
        variants=("passengers", "kaggle"),
        # Not scikit-learn: among the files that its tests need are all passengers with their fates.
        requirements=("pandas>=2.2", "xgboost-cpu>=3"),
    )


@hookimpl
def mlgym_suites() -> Iterable[SuiteSpec]:
    """Register the suite of the two tasks."""
    yield SuiteSpec(
        "tabular",
        "Predictions from tables",
        tasks=("tabular/house-price", "tabular/titanic"),
    )
