"""How numbers are written."""

import pytest

from roadmap.numbers import COUNTS, SECONDS, column, written


@pytest.mark.parametrize(
    ("values", "units", "unit", "texts"),
    [
        ([25_557_032, 28_589_128, None], COUNTS, "M", ["25.6", "28.6", ""]),
        ([376_000, 227_114, 500_000], COUNTS, "M", ["0.376", "0.227", "0.500"]),
        ([4_089_184_256, 987_654_321, 15_043_000_000], COUNTS, "G", ["4.09", "0.99", "15.04"]),
        ([81.0, 120.4, 75.3], SECONDS, "min", ["1.35", "2.01", "1.25"]),
        ([86_400 * 3, 86_400 * 4], SECONDS, "days", ["3.00", "4.00"]),
        ([3168.2, 2144.9, 804.0], None, "", ["3,170", "2,140", "804"]),
        ([200, 5700, 188_000, 223_000], {"k": 1e3}, "k", ["0.2", "5.7", "188.0", "223.0"]),
        ([0.025, 0.04], None, "", ["0.0250", "0.0400"]),
        ([0.0, -1.5], None, "", ["0.00", "-1.50"]),
        ([None, 0], COUNTS, "M", ["", "0"]),
        ([], None, "", []),
    ],
)
def test_a_column_has_one_unit_and_as_many_decimals(values: list[float | None], units: dict[str, float] | None,
                                                   unit: str, texts: list[str]) -> None:  # fmt: skip
    assert column(values, units) == (unit, texts)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (4 / 15, "0.2667"), (0.99996, "0.99996"), (0.9999, "0.9999"), (1e-6, "1e-6"), (1e-10, "1e-10"), (0.0, "0"),
        (None, "unset"), (True, "true"), (4096, "4096"), ([0.75, 4 / 3], "[0.75, 1.333]"), (["dw", "add"], "[dw, add]"),
    ],
)  # fmt: skip
def test_values_of_options_have_no_digits_without_meaning(value: object, text: str) -> None:
    assert written(value) == text
