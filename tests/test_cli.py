"""The command line as a user meets it: in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headstart.predictor import load
from tiny import environment, headstart, photos, png, texture, timm_folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos/, network/ and model/, which `fit` made of them."""
    root = tmp_path_factory.mktemp("cli")
    photos(root / "photos", each=10, classes=2)
    timm_folder(root / "network")
    done = headstart("fit", "photos", "--backbone", "network", "--out", "model", "--budget", "0", cwd=root, fresh=True)
    assert done.returncode == 0, done.stderr
    return root


def loaded(code: str) -> set[str]:
    """Return the modules that some code imports, in a fresh process."""
    words = [sys.executable, "-X", "importtime", "-c", code]
    told = subprocess.run(words, capture_output=True, text=True, env=dict(environment()), check=True).stderr
    return {line.rpartition("|")[2].strip() for line in told.splitlines()}


def test_importing_headstart_loads_neither_torch_nor_numpy() -> None:
    assert not {"torch", "numpy", "timm", "rich"} & loaded("import headstart")


def test_help_loads_no_torch_and_takes_less_than_half_a_second() -> None:
    code = "import sys; sys.argv = ['headstart', '--help']; from headstart.cli import main; main()"
    assert not {"torch", "numpy", "timm", "rich"} & loaded(code)

    def took() -> float:
        start = time.perf_counter()
        assert "headstart fit photos/" in headstart("--help", fresh=True).stdout
        return time.perf_counter() - start

    # Once in five is enough: what else the machine does can only make it longer.
    assert any(took() < 0.5 * (1 + max(0.0, os.getloadavg()[0] - 1)) for _ in range(5))


@pytest.mark.parametrize("command", ["fit", "predict", "evaluate", "check", "backbones", "report", "demo"])
def test_every_command_has_help_and_json(command: str) -> None:
    told = headstart(command, "--help", fresh=True)
    assert told.returncode == 0
    assert "--json" in told.stdout


def test_json_of_fit_is_scores_json_and_the_talk_goes_elsewhere(place: Path) -> None:
    words = ("--backbone", "network", "--out", "tuned", "--budget", "30s", "--labels-per-class", "5,all", "--json")
    done = headstart("fit", "photos", *words, cwd=place)
    said = json.loads(done.stdout)
    written = json.loads((place / "tuned" / "scores.json").read_text())
    assert {k: said[k] for k in written} == written
    assert said["folder"] == "tuned"
    assert len(said["rungs"]) - 3 + len(said["untried"]) == 3, (
        "each depth of the network is tried, or it is said why not"
    )
    assert [point["labels"] for point in said["curve"]] == ["5", "all"]


def test_json_of_the_other_commands_is_json(place: Path) -> None:
    picture = next((place / "photos").rglob("*.png"))
    for words in (
        ("check", "photos"),
        ("predict", "model", picture),
        ("evaluate", "model", "photos"),
        ("report", "model"),
        ("backbones", "--folders", "."),
    ):
        done = headstart(*words, "--json", cwd=place)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)


def test_nothing_but_errors_and_findings_is_said_when_stderr_is_no_terminal(place: Path) -> None:
    done = headstart("predict", "model", "photos/bark", "--json", cwd=place)
    assert done.stderr == ""


def test_predict_takes_files_folders_globs_and_stdin(place: Path) -> None:
    files = sorted(str(p.relative_to(place)) for p in (place / "photos" / "bark").iterdir())
    by_folder = json.loads(headstart("predict", "model", "photos/bark", "--json", cwd=place).stdout)
    by_glob = json.loads(headstart("predict", "model", "photos/bark/*", "--json", cwd=place).stdout)
    by_stdin = json.loads(headstart("predict", "model", "--json", cwd=place, typed="\n".join(files)).stdout)
    assert [p["name"] for p in by_folder] == files
    assert by_folder == by_glob == by_stdin


def test_predict_names_a_bad_input_and_goes_on(place: Path) -> None:
    (place / "torn.png").write_bytes(png(texture(0, 1))[:200])
    good = next((place / "photos").rglob("*.jpg"))
    done = headstart("predict", "model", "gone.jpg", "torn.png", good, "--json", cwd=place)
    said = json.loads(done.stdout)
    assert done.returncode == 0
    assert ["error" in p for p in said] == [True, True, False]
    assert "gone.jpg" in done.stderr
    assert "torn.png" in done.stderr


@pytest.mark.parametrize("ending", ["csv", "json", "jsonl"])
def test_predictions_are_written_in_the_format_that_the_ending_names(place: Path, ending: str) -> None:
    done = headstart("predict", "model", "photos/bark", "-o", f"said.{ending}", cwd=place)
    assert done.returncode == 0
    assert done.stdout == ""
    assert (place / f"said.{ending}").read_text().count("bark") >= 10


def test_when_no_input_can_be_predicted_the_exit_code_is_2(place: Path) -> None:
    assert headstart("predict", "model", "gone.jpg", cwd=place).returncode == 2


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("fit", "photo"), 2, "photos"),
        (("fit", "photos", "--backbone", "resnet_18"), 2, "resnet18"),
        (("fit", "photos", "--backbone", "photos"), 2, "config.json"),
        (("fit", "photos", "--task", "poetry"), 2, "image-classification"),
        (("fit", "photos", "--out", "network"), 2, "not a model folder"),
        (("fit", "photos", "--out", "photos/model"), 2, "inside the data"),
        (("fit", "photos", "--nonsense"), 2, "--nonsense"),
        (("predict", "photos", "x.jpg"), 2, "headstart.json"),
        (("evaluate", "model", "nowhere"), 2, "nowhere"),
        (("nonsense",), 2, "nonsense"),
    ],
)
def test_a_wrong_call_is_explained_without_a_traceback(
    place: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    done = headstart(*words, cwd=place)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_more_than_a_fifth_of_bad_files_stops_with_exit_code_2(place: Path) -> None:
    photos(place / "worse", each=6, classes=2)
    for i in range(6):
        (place / "worse" / "bark" / f"bad{i}.jpg").write_bytes(b"")
    done = headstart("fit", "worse", "--backbone", "network", "--out", "never", cwd=place)
    assert done.returncode == 2
    assert "bad0.jpg" in done.stderr
    assert not (place / "never").exists()


def test_check_names_every_finding_on_stdout(place: Path) -> None:
    photos(place / "odd", each=6, classes=2)
    (place / "odd" / "bark" / "empty.jpg").write_bytes(b"")
    done = headstart("check", "odd", cwd=place)
    assert done.returncode == 0
    assert "left out: bark/empty.jpg: the file is empty" in done.stdout


def test_verify_finds_a_changed_model(place: Path) -> None:
    assert headstart("predict", "model", "photos/bark", "--verify", cwd=place).returncode == 0
    headstart("fit", "photos", "--backbone", "network", "--out", "changed", "--budget", "0", cwd=place)
    raw = bytearray((place / "changed" / "model.safetensors").read_bytes())
    raw[-1] ^= 1
    (place / "changed" / "model.safetensors").write_bytes(raw)
    done = headstart("predict", "changed", "photos/bark", "--verify", cwd=place)
    assert done.returncode == 2
    assert "model.safetensors" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_says_so_and_the_same_command_completes_it(
    place: Path, tmp_path: Path, number: signal.Signals
) -> None:
    photos(tmp_path / "many", each=60, classes=3)
    words = ["fit", str(tmp_path / "many"), "--backbone", "network", "--out", str(tmp_path / "out"), "--budget", "0"]
    command = [sys.executable, "-m", "headstart", *words, "--cache", str(tmp_path / "cache")]
    run = subprocess.Popen(command, cwd=place, env=dict(environment()), stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    while not list((tmp_path / "cache").rglob("trunk.xml")) and time.monotonic() < deadline:
        time.sleep(0.005)
    run.send_signal(number)
    talk = run.communicate(timeout=300)[1]
    assert run.returncode == 130
    assert "the same command goes on from there" in talk
    assert "Traceback" not in talk
    assert headstart(*words, "--cache", tmp_path / "cache", cwd=place).returncode == 0
    assert load(tmp_path / "out", verify=True).labels == ("bark", "checks", "dots")


def test_check_lists_every_finding_also_where_they_are_too_many(place: Path) -> None:
    photos(place / "ruined", each=6, classes=2)
    for i in range(8):
        (place / "ruined" / "bark" / f"bad{i}.jpg").write_bytes(b"")
    done = headstart("check", "ruined", "--json", cwd=place)
    said = json.loads(done.stdout)
    assert done.returncode == 2
    assert [f["name"] for f in said["findings"] if f["kind"] == "empty"] == [f"bark/bad{i}.jpg" for i in range(8)]
    assert said["usable"] is False
    assert said["refused"] in done.stderr


def test_report_of_what_is_no_model_is_a_wrong_call(place: Path) -> None:
    done = headstart("report", "photos", cwd=place)
    assert done.returncode == 2
    assert "not a model folder" in done.stderr


def test_names_with_brackets_and_colons_are_shown_as_they_are(place: Path) -> None:
    odd = photos(place / "markup", each=6, classes=2)
    (odd / "bark").rename(odd / "[red]bark[nope] :smile:")
    done = headstart("check", "markup", cwd=place)
    assert done.returncode == 0
    assert "[red]bark[nope] :smile:" in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="other systems want file names to be text")
def test_a_file_name_that_is_no_text_is_predicted_and_told_in_json(place: Path) -> None:
    name = os.fsdecode(b"na\xefve.png")
    (place / name).write_bytes(png(texture(0, 3)))
    done = headstart("predict", "model", name, "gone.jpg", "--json", cwd=place)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["name"] == name


def test_a_glob_that_matches_nothing_is_named(place: Path) -> None:
    good = next((place / "photos").rglob("*.jpg"))
    done = headstart("predict", "model", "nothing/*.jpg", good, "--json", cwd=place)
    assert done.returncode == 0
    assert "nothing/*.jpg" in done.stderr
    assert len(json.loads(done.stdout)) == 2


def test_a_reader_that_has_seen_enough_causes_no_traceback(place: Path) -> None:
    command = f"{sys.executable} -m headstart backbones | head -c 1"
    done = subprocess.run(command, shell=True, cwd=place, env=dict(environment()), capture_output=True, text=True)
    assert "Traceback" not in done.stderr


def test_an_interruption_that_a_library_turns_into_an_error_is_still_a_stop(place: Path) -> None:
    code = """
import os, signal, sys
from headstart import cli
def main(**_):
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
    except KeyboardInterrupt:
        raise ImportError("half a module") from None
cli.cli.main = main
cli.main()
"""
    done = subprocess.run([sys.executable, "-c", code], env=dict(environment()), capture_output=True, text=True)
    assert done.returncode == 130
    assert "the same command goes on from there" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_second_interruption_leaves_at_once(place: Path) -> None:
    code = """
import os, signal, sys, time
from headstart import cli
def main(**_):
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
    finally:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
cli.cli.main = main
cli.main()
"""
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], env=dict(environment()), capture_output=True, text=True)
    assert done.returncode == 130
    assert time.monotonic() - start < 30
