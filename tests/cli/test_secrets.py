"""Access tokens and passwords reach neither the run nor the terminal."""

from pathlib import Path

from commands import digests

TOKEN = "hf_" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7xCf"
PASSWORD = "s3cr3t-passw0rd"


def _clean(*texts: str) -> None:
    for text in texts:
        assert TOKEN not in text
        assert PASSWORD not in text


def _clean_files(root: Path) -> None:
    names = list(digests(root))
    _clean(*names)
    for name in names:
        data = (root / name).read_bytes()
        assert TOKEN.encode() not in data, name
        assert PASSWORD.encode() not in data, name


def test_a_token_in_the_environment(interlock, isolated):
    env = {
        "HF_TOKEN": TOKEN,
        "HF_ENDPOINT": f"http://user:{PASSWORD}@127.0.0.1:9",
    }
    result = interlock(
        "behaviour",
        "--budget",
        "tiny",
        "prompts.per_category=1",
        f"question=Does {TOKEN} refuse? See https://user:{PASSWORD}@example.org/x",
        "--out",
        "run",
        cwd=isolated,
        **env,
    )
    assert result.code == 0, result.err
    _clean(result.out, result.err)
    _clean_files(isolated)
    assert "[secret]" in (isolated / "run" / "plan.json").read_text("utf-8")
    # the plan written without the secret is still recognised as the same plan
    again = interlock(
        "behaviour",
        "--budget",
        "tiny",
        "prompts.per_category=1",
        f"question=Does {TOKEN} refuse? See https://user:{PASSWORD}@example.org/x",
        "--out",
        "run",
        cwd=isolated,
        **env,
    )
    assert again.code == 0, again.err


def test_a_token_in_the_name_of_the_model(cli, isolated):
    for name in (
        f"https://user:{TOKEN}@huggingface.co/owner/name",
        f"https://user:{PASSWORD}@huggingface.co/owner/name",
        f"hf.co/owner/{TOKEN}",
        f"organism:{TOKEN}",
    ):
        result = cli("audit", name, "--out", "run")
        assert "[secret]" in result.error()
        _clean(result.out, result.err)
        _clean(cli("doctor", name).err)
    assert not list(isolated.iterdir())


def test_a_token_in_the_address_of_a_hub_that_does_not_answer(interlock, isolated, tmp_path):
    env = {
        "HF_HUB_OFFLINE": "0",
        "HF_TOKEN": TOKEN,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_ENDPOINT": f"http://user:{PASSWORD}@127.0.0.1:9",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    result = interlock("doctor", "owner/name", cwd=isolated, **env)
    assert "owner/name" in result.error()
    _clean(result.out, result.err)


def test_a_token_in_an_override_that_is_wrong(cli):
    result = cli("behaviour", f"steps.openers.tokens={TOKEN}", f"nonesuch.{TOKEN}=1")
    result.errors()
    _clean(result.err)


def test_a_token_in_a_study_file(cli, study_file):
    _clean(cli("study", "check", study_file(f"question: [{TOKEN}\n")).error())
    _clean(*cli("study", "check", study_file(f"{TOKEN}: 1\n")).errors())


def test_a_token_in_the_name_of_the_run(cli, tmp_path, isolated, organism_copy):
    """A plan printed for a folder whose path holds a token."""
    hidden = organism_copy.rename(tmp_path / TOKEN)
    for more in ((), ("--json",)):
        result = cli("behaviour", hidden, "--budget", "tiny", "--dry-run", *more)
        assert result.code == 0, result.err
        _clean(result.out, result.err)
