"""A trained model as the Hugging Face hub knows models: `save_pretrained`, `from_pretrained`, `push_to_hub`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

from huggingface_hub import ModelCard, ModelHubMixin

from dlkd.machine import expanded
from dlkd.models.detector import Detector
from dlkd.registry import Registry, read_registry
from dlkd.training.device import device
from dlkd.training.pretrained.card import card_text
from dlkd.training.pretrained.saved_model import CONFIG, TENSORS, read_saved, saved_config, write_saved
from dlkd.training.trials.trial_result import TrialResult
from dlkd.training.trials.trial_spec import TrialSpec

T = TypeVar("T", bound="OnTheHub")
CARD = "README.md"


class HubError(ValueError):
    """A model that cannot be fetched from the hub or put there, or a folder that is no place for one."""


class OnTheHub(ModelHubMixin, library_name="dlkd"):
    """What makes a trained model one of the hub's. Saving and pushing are huggingface_hub's own.

    Loading is not: the mixin hands the keys of a `config.json` to the class as arguments, and a stranger's file must
    not choose arguments.
    """

    _hub_mixin_config: Any = {}  # noqa: RUF012 (what the mixin would write to config.json; ours is written already)
    folder: Path
    spec: TrialSpec
    detector: Detector
    result: TrialResult
    registry: Registry
    files: Mapping[str, str]

    def save_pretrained(self, save_directory: str | PathLike[str], **options: Any) -> str | None:
        """Write the model into a folder that others can load: all weights, settings, threshold, metrics and a card.

        Args:
            save_directory: a new or empty folder, or one with a saved model of dlkd, which is replaced with its card.
            options: of huggingface_hub's `save_pretrained`, such as `model_card_kwargs={"licence": "cc-by-4.0"}` (see
                `generate_model_card`) or `push_to_hub=True, repo_id="me/name"`.

        Raises:
            HubError: the folder holds other files.
            ConfigError: the model needs a file for scoring, or has a component that takes arguments of any type.

        >>> model = dlkd.load_model("runs/train/dlkd-textures-brick-seed0")   # doctest: +SKIP
        >>> model.save_pretrained("brick")                                   # doctest: +SKIP
        """
        folder = expanded(save_directory)
        refuse_strange(folder)
        saved: str | None = super().save_pretrained(folder, **options)
        return saved

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Save the model and upload it; the options are those of huggingface_hub's `push_to_hub` (`private=True`).

        Returns:
            The address of the commit.

        Raises:
            ConfigError: see `save_pretrained`.
            HubError: the hub cannot be reached, or refuses; log in with `hf auth login`.
        """
        options["model_card_kwargs"] = {"repo": repo_id, **(options.get("model_card_kwargs") or {})}
        try:
            return str(super().push_to_hub(repo_id, **options))
        except Exception as error:  # the hub's client and its network library have kinds of their own
            if isinstance(error, ValueError) and type(error).__module__.startswith("dlkd."):
                raise
            raise HubError(
                f"{repo_id} cannot be put on the Hugging Face hub: {_first_line(error)}. `hf auth login` logs in; "
                "without a network, `save_pretrained` writes the same files into a folder"
            ) from error

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls: type[T],
        pretrained_model_name_or_path: str | PathLike[str],
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | PathLike[str] | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        registry: Registry | None = None,
        registry_files: Sequence[str | PathLike[str]] = (),
        imports: Sequence[str | PathLike[str]] = (),
    ) -> T:
        """The model of a folder or of a repository on the hub. It scores as the saved one did, to the bit.

        Nothing of it is run, and it opens no other file: its names are those of registered components.

        Args:
            pretrained_model_name_or_path: a folder that `save_pretrained` made, or "organisation/name" on the hub.
            revision: branch, tag or commit there; a commit never changes.
            token, cache_dir, force_download, local_files_only: see huggingface_hub's `snapshot_download`.
            registry: builds the model; default the packaged one with the files below.
            registry_files: YAML files of your own that the model was trained with.
            imports: Python files that register your own components. These are run.

        Raises:
            HubError: the hub cannot be reached, or has no such model.
            TrialError, ConfigError, CheckpointError: see `read_saved`.
        """
        folder = expanded(pretrained_model_name_or_path)
        if not folder.is_dir():
            folder = _fetched(
                str(pretrained_model_name_or_path),
                revision=revision,
                token=token,
                cache_dir=cache_dir,
                force_download=force_download,
                local_files_only=local_files_only,
            )
        registry = registry or read_registry(list(map(expanded, registry_files)), list(map(expanded, imports)))
        config, detector = read_saved(folder, registry)
        make: Any = cls
        made: T = make(folder, config.trial, detector.to(device()), config.result, registry, config.files)
        return made

    def _save_pretrained(self, save_directory: Path) -> None:
        config = saved_config(self.spec, self.detector, self.result, self.registry, self.files)
        (save_directory / CARD).unlink(missing_ok=True)  # the mixin keeps a card, whose figures may be another model's
        write_saved(config, self.detector, save_directory)

    def generate_model_card(self, *, repo: str = "", licence: str = "", data_licence: str = "") -> ModelCard:
        """The card of the model.

        Args:
            repo: its name on the hub, for the lines that load it.
            licence: of the weights, as the hub calls it: "cc-by-4.0".
            data_licence: of the training images, in words; default what is known of a published dataset.
        """
        config = saved_config(self.spec, self.detector, self.result, self.registry, self.files)
        return ModelCard(card_text(config, self.registry, repo, licence, data_licence))


def refuse_strange(folder: Path) -> None:
    """Raise HubError where `folder` is a file, or holds files that are not of a saved model."""
    if folder.exists() and not folder.is_dir():
        raise HubError(f"{folder} is a file; name a folder for the saved model")
    found = {path.name for path in folder.glob("*") if not path.name.startswith(".")} if folder.exists() else set()
    ours = CONFIG in found and '"dlkd": ' in (folder / CONFIG).read_text(encoding="utf-8", errors="replace")
    if other := sorted(found - ({CONFIG, TENSORS, CARD} if ours else set())):
        raise HubError(f"{folder} holds other files ({', '.join(other[:3])}); name a new folder for the saved model")


def _fetched(name: str, **options: Any) -> Path:
    """The folder with both files of a repository on the hub, of one commit."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=[CONFIG, TENSORS], **options))
    except Exception as error:  # the hub's client and its network library have kinds of their own
        raise HubError(
            f"{name} is no folder here, and cannot be fetched from the Hugging Face hub: {_first_line(error)}. "
            "Without a network, fetch it where there is one (`hf download NAME --local-dir FOLDER`) and name the folder"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
