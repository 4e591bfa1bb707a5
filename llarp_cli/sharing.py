"""Policies on the Hugging Face Hub: `hf:ORG/NAME` wherever a policy is asked for, and exports that are pushed there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llarp_cli import __version__
from llarp_cli.errors import LlarpError, UsageProblem, quoted
from llarp_cli.recipes import shortened

HUB = "hf:"
"""What a policy's name begins with where it is on the hub."""

EXTRAS = ("README.md", "curves.png", "episode.mp4")
"""What an export may hold beside the policy's own files."""

TOKENS = "https://huggingface.co/settings/tokens"


def fetch_policy(text: str) -> Path:
    """The folder in the hub's cache with a policy's three files; nothing else is fetched.

    Args:
        text: `hf:ORG/NAME` or `hf:ORG/NAME@REVISION`, a branch, tag or commit. Without a connection the cache serves.

    Raises:
        UsageProblem: there is no such policy, or its files are larger than such files can be.
        LlarpError: the hub does not answer, and its cache does not hold it.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    from llarp_cli.policy.files import POLICY_FILES, largest

    name, _, revision = text.removeprefix(HUB).partition("@")
    check_name(name, "hf:ORG/NAME, or hf:ORG/NAME@REVISION")
    if revision and not re.fullmatch(r"[\w./-]{1,200}", revision):
        raise UsageProblem(f"'{shortened(revision)}' is no revision", "a branch, a tag or a commit")
    at = f"'{name}'" + (f" at '{revision}'" if revision else "")
    api = HfApi()
    offline = False
    try:
        info = api.model_info(name, revision=revision or None, files_metadata=True, timeout=20)
        sizes = {file.rfilename: file.size for file in info.siblings or ()}
        for file in POLICY_FILES:
            if file not in sizes:
                raise UsageProblem(f"{at} on the hub is no policy of llarp's: it holds no {file}", "name another")
            if (sizes[file] or 0) > largest(file):
                raise UsageProblem(f"{at} on the hub is no policy: {file} has {sizes[file]:,} bytes", "name another")
    except GatedRepoError:
        raise UsageProblem(f"{at} on the hub is gated", "ask for access on its page, then `hf auth login`") from None
    except RevisionNotFoundError:
        raise UsageProblem(f"'{name}' on the hub has no revision '{revision}'", "leave out what is after @") from None
    except RepositoryNotFoundError:
        raise UsageProblem(
            f"the hub has no model '{name}' that you may read", "is it private? then `hf auth login`"
        ) from None
    except HfHubHTTPError as error:
        raise LlarpError(f"the hub refused {at}: {_told(error)}", "try again later") from None
    except Exception as error:
        if not _no_connection(error):
            raise
        offline = True
    try:
        paths = [
            Path(api.hf_hub_download(name, file, revision=revision or None, local_files_only=offline))
            for file in POLICY_FILES
        ]
    except Exception as error:
        why = "the hub cannot be reached, and its cache does not hold it" if offline else _told(error)
        raise LlarpError(f"cannot get {at} from the hub: {why}", "try again with a connection") from error
    if len({path.parent for path in paths}) > 1:
        raise LlarpError(f"{at} on the hub has changed while it was fetched", "try again")
    return paths[0].parent


def check_push(name: str) -> None:
    """What can be known of a push before anything is done.

    Args:
        name: `ORG/NAME`.

    Raises:
        UsageProblem: the name is none, or nobody is logged in.
    """
    from huggingface_hub import get_token

    check_name(name, "ORG/NAME")
    if get_token() is None:
        raise UsageProblem(
            "pushing needs a token of the hub's", f"`hf auth login`, or HF_TOKEN=...; make one at {TOKENS}"
        )


def push_policy(folder: Path, name: str, *, private: bool) -> str:
    """Put an export on the hub, in one commit.

    Args:
        folder: an export, which stays as it is.
        name: `ORG/NAME`; made if it is not there.
        private: only those may see it who may see what is ORG's.

    Returns:
        The address of its page.

    Raises:
        UsageProblem: the token may not do that.
        LlarpError: the hub cannot be reached or refuses, or the model is there and public.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    from llarp_cli.policy.files import POLICY_FILES

    api = HfApi()
    files: dict[str, Path | bytes] = {file: folder / file for file in POLICY_FILES}
    # A link in somebody else's folder may lead to what is nobody else's business.
    files |= {file: folder / file for file in EXTRAS if (folder / file).is_file() and not (folder / file).is_symlink()}
    card = folder / "README.md"
    if card.is_symlink():
        raise UsageProblem(f"'{card}' is a link", "put the model card itself there")
    files["README.md"] = on_the_hub(card.read_text("utf-8"), name, api.endpoint).encode()
    with _pushing(folder, name, private):
        api.create_repo(name, private=private or None, exist_ok=True)
        if private and not api.model_info(name).private:
            raise UsageProblem(f"'{name}' is there already, and everybody can see it", "choose another name")
        api.create_commit(
            name,
            [CommitOperationAdd(file, content) for file, content in files.items()],
            commit_message=f"A policy, exported by llarp {__version__}",
        )
    return f"{api.endpoint}/{name}"


def on_the_hub(card: str, name: str, endpoint: str) -> str:
    """A model card whose commands name the policy as it is found on the hub.

    Args:
        card: written for a folder, which it names; the folder may be called otherwise by now.
        name: `ORG/NAME`.
        endpoint: the hub's address.
    """
    if named := re.search(r'load_policy\("(.*)"\)', card):
        folder = named[1]
        for command in ("llarp eval {} ", "llarp rollout {} ", "llarp play --web --policy {}\n"):
            card = card.replace(command.format(quoted(folder)), command.format(f"{HUB}{name}"))
        card = card.replace(f'load_policy("{folder}")', f'load_policy("{HUB}{name}")')
        card = card.replace(f"\n# {folder}\n", f"\n# {name.partition('/')[2]}\n", 1)
    return card.replace('src="episode.mp4"', f'src="{endpoint}/{name}/resolve/main/episode.mp4"')


def check_name(name: str, form: str) -> None:
    """Refuse what cannot be a model's name.

    Args:
        form: how to write it.

    Raises:
        UsageProblem: it cannot.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
        if name.count("/") != 1:
            raise HFValidationError
    except HFValidationError:
        raise UsageProblem(f"'{shortened(name)}' is no model's name on the hub", f"write {form}") from None


@contextmanager
def _pushing(folder: Path, name: str, private: bool) -> Iterator[None]:
    """Tells what went wrong in a line, and that nothing is lost.

    Raises:
        UsageProblem: the token may not do that.
        LlarpError: the hub cannot be reached, or refuses.
    """
    from huggingface_hub.errors import HfHubHTTPError

    done = f"; the export is complete in '{folder}'"
    again = f"llarp export {quoted(folder)} --push-to-hub {name}" + " --private" * private
    try:
        yield
    except UsageProblem as problem:
        raise UsageProblem(problem.message + done, problem.hint) from None
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status == 401:
            raise UsageProblem(f"the hub does not accept the token{done}", f"`hf auth login`, then: {again}") from None
        if status in (403, 404):
            owner = name.partition("/")[0]
            raise UsageProblem(
                f"the token may not write to '{name}' on the hub{done}", f"one that may write to {owner}: {TOKENS}"
            ) from None
        raise LlarpError(f"the hub refused '{name}': {_told(error)}{done}", f"try again: {again}") from None
    except Exception as error:
        if _no_connection(error):
            raise LlarpError(f"the hub cannot be reached: {_told(error)}{done}", f"when it can: {again}") from error
        raise LlarpError(f"pushing failed: {type(error).__name__}: {_told(error)}{done}", f"again: {again}") from error


def _no_connection(error: Exception) -> bool:
    """Whether an error means that nobody answered; of which class it is depends on the hub's HTTP library."""
    return isinstance(error, OSError) or type(error).__module__.partition(".")[0].startswith(("http", "requests"))


def _told(error: Exception) -> str:
    """The first line of what an error says, as one may put it into a sentence."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return shortened(lines[0].rstrip("."))
