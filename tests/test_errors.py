"""The error tree: what people read, and what programs see."""

from __future__ import annotations

import pytest

from headstart import errors


def tree() -> list[type[errors.HeadstartError]]:
    return [getattr(errors, name) for name in errors.__all__]


def test_a_message_says_what_is_wrong_what_was_found_and_what_to_do() -> None:
    error = errors.DataError("There is one class.", found="cat", hint="Add another folder.")
    assert str(error) == "There is one class.\n  found: cat\n  hint:  Add another folder."
    assert (error.what, error.found, error.hint) == ("There is one class.", "cat", "Add another folder.")


def test_lines_that_nothing_is_known_for_are_left_out() -> None:
    assert str(errors.StoreError("It broke.")) == "It broke."
    assert str(errors.StoreError("It broke.", hint="Mend it.")) == "It broke.\n  hint:  Mend it."


@pytest.mark.parametrize("kind", tree(), ids=lambda kind: kind.__name__)
def test_every_error_is_caught_by_the_base_of_the_tree(kind: type[errors.HeadstartError]) -> None:
    with pytest.raises(errors.HeadstartError, match=r"^broken$"):
        raise kind("broken")


def test_every_class_of_the_module_is_public() -> None:
    made = {k for k, v in vars(errors).items() if isinstance(v, type) and issubclass(v, Exception)}
    assert made == set(errors.__all__)


def test_the_exit_code_tells_a_wrong_call_from_a_failed_run_and_a_stop() -> None:
    codes = {kind.__name__: kind.exit_code for kind in tree()}
    assert codes == {
        "HeadstartError": 1,
        "EngineError": 1,
        "FrozenError": 1,
        "StoreError": 1,
        "DiskFullError": 1,
        "UsageError": 2,
        "DataError": 2,
        "BackboneError": 2,
        "ModelError": 2,
        "StopRequested": 130,
    }


def test_a_full_disk_is_a_kind_of_store_error() -> None:
    with pytest.raises(errors.StoreError):
        raise errors.DiskFullError("full")
