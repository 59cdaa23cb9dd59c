"""Predicts prices of houses by ridge regression, and writes them to submission.csv.

The lines marked "tunable" declare parameters: values that may be changed within the range given there.
"""

import numpy
import pandas
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

# How strongly large coefficients are avoided.
ALPHA = 0.1  # tunable: float 0.01 to 100

# Whether the logarithm of the price is predicted instead of the price.
LOG_PRICE = False  # tunable: choice False, True

# What stands for a number that is missing.
IMPUTED = "mean"  # tunable: choice "mean", "median"

# Texts that fewer houses than this have in a column count as one.
RARE = 1  # tunable: int 1 to 50


def make_model(numbers: list[str], texts: list[str]) -> Pipeline:
    """Return the model, which is not trained yet. This is the place to improve."""
    prepared_numbers = make_pipeline(SimpleImputer(strategy=IMPUTED), StandardScaler())
    prepared_texts = make_pipeline(
        SimpleImputer(strategy="constant", fill_value="missing"),
        OneHotEncoder(handle_unknown="ignore", min_frequency=RARE),
    )
    columns = make_column_transformer((prepared_numbers, numbers), (prepared_texts, texts))
    return make_pipeline(columns, Ridge(alpha=ALPHA))


def main() -> None:
    """Train on the training split and predict both others."""
    train, validation, test = (pandas.read_csv(f"{split}.csv") for split in ("train", "validation", "test"))
    features = train.columns.drop(["Id", "SalePrice"])
    numbers = list(train[features].select_dtypes("number"))
    texts = [name for name in features if name not in numbers]

    model = make_model(numbers, texts)
    prices = train["SalePrice"]
    model.fit(train[features], numpy.log(prices) if LOG_PRICE else prices)

    rows = pandas.concat([validation, test])
    predicted = model.predict(rows[features])
    if LOG_PRICE:
        # Far outside what it was trained on, the exponential knows no bounds.
        predicted = numpy.exp(predicted.clip(max=numpy.log(2 * prices.max())))
    pandas.DataFrame({"Id": rows["Id"], "SalePrice": predicted}).to_csv("submission.csv", index=False)


if __name__ == "__main__":
    main()
