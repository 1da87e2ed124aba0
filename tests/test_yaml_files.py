"""YAML as it is written and read: numbers stay numbers, and texts that look like numbers stay texts."""

import pytest

from roadmap.config.yaml_files import parse_yaml, to_yaml


@pytest.mark.parametrize(
    "value",
    ["95e265a75ddc3c15", "1e3", "12E-4", "1.5", "true", "null", "", 1e-6, 1e20, 3, -0.0, True, None, [1e-3, "1e-3"]],
)
def test_what_is_written_is_read(value: object) -> None:
    read = parse_yaml(to_yaml({"key": value}))["key"]
    assert read == value and type(read) is type(value)


def test_a_number_with_an_exponent_needs_no_dot() -> None:
    assert parse_yaml("[1e-3, 4E+3, -2e1]") == [0.001, 4000.0, -20.0]
