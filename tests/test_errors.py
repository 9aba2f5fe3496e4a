"""isoform.errors: every failure is one line."""

import logging

import pytest

from isoform.errors import BadInput, CheckFailed, IsoformError, run


def test_an_error_reads_path_reason_action() -> None:
    assert str(BadInput("a/b", "is wrong", "correct it")) == "a/b: is wrong; correct it"


def test_line_breaks_in_a_reason_become_spaces() -> None:
    assert str(BadInput("a", "first\nsecond\r\n\tthird", "go on")) == "a: first second third; go on"


def test_what_a_line_quotes_is_cut() -> None:
    line = str(BadInput("folder/" * 100 + "model.onnx", "x" * 250_000 + " is wrong", "y" * 500))
    where, reason, action = line.replace("; ", ": ").split(": ")
    assert [len(part) for part in (where, reason, action)] == [500, 500, 500]
    assert (where[-11:], reason[-9:], action) == ("/model.onnx", " is wrong", "y" * 500)


@pytest.mark.parametrize("hostile", ["\x1b[2J", "\x07", "\x9b31m", "\u202e", "\ud800", "\u2028", "\0"])
def test_no_control_character_reaches_the_terminal(hostile: str) -> None:
    line = str(CheckFailed(f"x{hostile}y", "is odd", "look"))
    assert line.isprintable()
    assert "x" in line
    assert "y: is odd; look" in line


def test_letters_of_any_script_are_kept() -> None:
    assert str(BadInput("Łódź/日本", "ne", "ano")) == "Łódź/日本: ne; ano"


def test_the_exit_status_tells_a_failed_check_from_bad_input() -> None:
    assert (IsoformError.exit_status, CheckFailed.exit_status, BadInput.exit_status) == (1, 1, 2)


def test_run_returns_what_main_returns(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(lambda: None) == 0
    assert run(lambda: 3) == 3
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("kind", "status"), [(CheckFailed, 1), (BadInput, 2)])
def test_run_turns_an_error_into_one_line_and_a_status(
    kind: type[IsoformError], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> int:
        raise kind("a", "is\nwrong", "correct it")

    assert run(fail) == status
    assert capsys.readouterr() == ("", "error: a: is wrong; correct it\n")


def test_debug_shows_the_traceback_too(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> int:
        raise BadInput("a", "is wrong", "correct it") from ValueError("the cause")

    with caplog.at_level(logging.ERROR):
        assert run(fail, debug=True) == 2
    assert "the cause" in caplog.text
    assert "Traceback" in caplog.text
    assert capsys.readouterr().err.endswith("error: a: is wrong; correct it\n")


def test_a_bug_keeps_its_traceback() -> None:
    def fail() -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(fail)
