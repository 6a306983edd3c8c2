"""Recipe -> Plan: which stages run in which order, what each makes, and whether it is there already.

A plan is arithmetic over text: no tensors, no work. It freezes every value with its origin, so that a run can
be taken up again from `plan.json` alone, whatever happened to the recipe meanwhile.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.artifacts import ArtifactName, Store, fingerprint_of, read_manifest
from workbench.errors import BadInput, NotFound, WorkbenchError
from workbench.extension import LENGTH, Shorter, family_of, find_shorter, step_folder
from workbench.model_config import ModelConfig
from workbench.recipe_fields import Table, defaults_of_later_keys, identifying_values, tables_inside
from workbench.recipe_file import NAME, NAME_RULE, LoadedRecipe
from workbench.recipe_model import Model
from workbench.recipe_start import Start
from workbench.recipe_vocabulary import tables
from workbench.runs import find_home
from workbench.safe_text import one_line
from workbench.source_identity import SourceDigests, identity_of, identity_of_packages
from workbench.starting_point import StartingPoint, find_starting_point, still_there

PLAN_VERSION = 1


@dataclasses.dataclass(frozen=True)
class StageKind:
    """What the stage table says of a stage. `checkpoint` means what the nearest training stage before it made."""

    name: str
    needs: tuple[str, ...]
    makes: str
    version: int


STAGES = (
    StageKind("start", needs=(), makes="checkpoint", version=1),
    StageKind("corpus", needs=(), makes="documents", version=2),
    StageKind("tokenizer", needs=("documents",), makes="tokenizer", version=1),
    StageKind("pack", needs=("documents", "tokenizer"), makes="tokens", version=1),
    # Random weights in the model's shape, or those of a start.
    StageKind(
        "pretrain",
        needs=("model", "documents", "tokenizer", "tokens", "checkpoint"),
        makes="checkpoint",
        version=1,
    ),
    StageKind("sft", needs=("checkpoint",), makes="checkpoint", version=1),
    StageKind("dpo", needs=("checkpoint",), makes="checkpoint", version=1),
    StageKind(
        "eval", needs=("documents", "tokenizer", "tokens", "checkpoints"), makes="scorecard", version=1
    ),
)
STAGE_NAMES = tuple(kind.name for kind in STAGES)


@dataclasses.dataclass(frozen=True)
class Setting:
    """A value and where it came from: `recipe`, `--set` or `default`; of a table, also where each value inside did."""

    value: Any
    origin: str
    inside: Mapping[str, str] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for plan.json."""
        facts: dict[str, Any] = {"value": self.value, "origin": self.origin}
        return facts if self.inside is None else facts | {"inside": dict(self.inside)}

    def flat(self, name: str) -> Iterator[tuple[str, Setting]]:
        """(`TABLE.KEY`, setting) of it, or of every value inside it."""
        if self.inside is None:
            yield name, self
        else:
            for key, origin in self.inside.items():
                yield f"{name}.{key}", Setting(self.value[key], origin)


@dataclasses.dataclass(frozen=True)
class StagePlan:
    """One stage as it will run: its settings, what it makes, and what of earlier stages it reads.

    planned: what the recipe makes, where a person steered this stage, or one before it, to something else; steering:
    what was decided. shape: of the model that a start brings along. family: the fingerprint but for how long it trains.
    shorter: a finished training of that family for fewer tokens.
    """

    name: str
    settings: Mapping[str, Setting]
    model: Mapping[str, Setting] | None
    makes: ArtifactName
    inputs: Mapping[str, ArtifactName]
    checkpoints: Mapping[str, ArtifactName]
    sources: list[Any]
    shape: ModelConfig | None = None
    family: str | None = None
    shorter: Shorter | None = None
    planned: ArtifactName | None = None
    steering: tuple[Mapping[str, Any], ...] = ()

    @property
    def by_recipe(self) -> ArtifactName:
        """What the recipe makes here, whatever a person steered."""
        return self.planned or self.makes

    def table(self) -> Table:
        """The settings as the stage's own recipe table."""
        return tables()[self.name].model_validate(
            {key: setting.value for key, setting in self.settings.items()}
        )

    def model_table(self) -> Model | None:
        """The model's shape table, for the stage that builds one."""
        if self.model is None:
            return None
        return Model.model_validate({key: setting.value for key, setting in self.model.items()})

    def to_dict(self) -> dict[str, Any]:
        """Plain data for plan.json."""
        facts: dict[str, Any] = {
            "name": self.name,
            "settings": {key: setting.to_dict() for key, setting in self.settings.items()},
            "makes": dataclasses.asdict(self.makes),
            "inputs": {kind: dataclasses.asdict(name) for kind, name in self.inputs.items()},
            "checkpoints": {stage: dataclasses.asdict(name) for stage, name in self.checkpoints.items()},
            "sources": self.sources,
        }
        if self.model is not None:
            facts["model"] = {key: setting.to_dict() for key, setting in self.model.items()}
        if self.shape is not None:
            facts["shape"] = self.shape.to_dict()
        if self.family is not None:
            facts["family"] = self.family
        if self.shorter is not None:
            facts["shorter"] = dataclasses.asdict(self.shorter)
        if self.planned is not None:
            facts["planned"] = dataclasses.asdict(self.planned)
            facts["steering"] = [dict(decision) for decision in self.steering]
        return facts

    @staticmethod
    def from_dict(facts: Mapping[str, Any]) -> StagePlan:
        """The stage plan that `to_dict` described."""
        model = facts.get("model")
        return StagePlan(
            name=facts["name"],
            settings={key: Setting(**setting) for key, setting in facts["settings"].items()},
            model=None if model is None else {key: Setting(**setting) for key, setting in model.items()},
            makes=ArtifactName(**facts["makes"]),
            inputs={kind: ArtifactName(**name) for kind, name in facts["inputs"].items()},
            checkpoints={stage: ArtifactName(**name) for stage, name in facts["checkpoints"].items()},
            sources=facts.get("sources", []),
            shape=ModelConfig.from_dict(facts["shape"]) if "shape" in facts else None,
            family=facts.get("family"),
            shorter=_shorter_of(facts["shorter"]) if "shorter" in facts else None,
            planned=ArtifactName(**facts["planned"]) if "planned" in facts else None,
            steering=tuple(facts.get("steering", ())),
        )


@dataclasses.dataclass(frozen=True)
class Plan:
    """What will happen: the stages in order, in one home, under one run name."""

    name: str
    recipe: str
    home: Path
    recipe_folder: Path
    recipe_text: str
    stages: tuple[StagePlan, ...]

    @property
    def store(self) -> Store:
        """Where the artifacts of this home live."""
        return Store(self.home / "store")

    def stage(self, name: str) -> StagePlan:
        """The stage of that name. Raises NotFound."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise NotFound(
            f"the recipe has no stage {name!r}",
            fix=f"its stages are {', '.join(s.name for s in self.stages)}",
        )

    def start_folder(self) -> Path | None:
        """The model folder that [start] reads; None without one. Raises NotFound when it is gone."""
        table = next((each.table() for each in self.stages if each.name == "start"), None)
        if not isinstance(table, Start):
            return None
        return still_there(table, base=self.recipe_folder, home=self.home).folder

    def shorter_checkpoint(self, stage: StagePlan) -> Path | None:
        """The checkpoint of a shorter training that `stage` goes on from; None without one, or when it is gone."""
        if stage.shorter is None or stage.shorter.step is None:
            return None
        folder = step_folder(self.store.folder(stage.shorter.artifact), stage.shorter.step)
        return folder if folder.is_dir() else None

    def reuse(self, stage: StagePlan) -> tuple[bool, str]:
        """Whether `stage` is finished already, and why or why not, in words."""
        if self.store.exists(stage.makes):
            return True, f"made before as {stage.makes}"
        if self.store.is_being_made(stage.makes):
            return False, "another run is making it now; this run will wait for it"
        for before in self.stages:
            if before.makes in stage.inputs.values() and not self.store.exists(before.makes):
                return False, f"waits for {before.name}"
        if any(self.store.building(stage.makes).glob("step-*")):
            return False, "begun and cut off; goes on from its last checkpoint"
        if stage.shorter is not None:
            return False, stage.shorter.in_words()
        return False, "not made yet with these settings"

    def steered(self, name: str, decisions: Sequence[Mapping[str, Any]]) -> Plan:
        """This plan with the stage `name` making what `decisions`, taken while it ran, make of it; none: the recipe's.

        Its artifact, and all that are made from it, get fingerprints of their own, of this run alone: nobody who wants
        what the recipe makes is given them.
        """
        stages: list[StagePlan] = []
        renamed: dict[ArtifactName, ArtifactName] = {}
        apart: set[ArtifactName] = set()
        for stage in self.stages:
            inputs = {kind: renamed.get(each, each) for kind, each in stage.inputs.items()}
            checkpoints = {kind: renamed.get(each, each) for kind, each in stage.checkpoints.items()}
            steering = tuple(decisions) if stage.name == name else stage.steering
            read = (*inputs.values(), *checkpoints.values())
            makes = stage.by_recipe
            if steering or not apart.isdisjoint(read):
                facts = [makes.fingerprint, self.name, [dict(each) for each in steering]]
                makes = dataclasses.replace(
                    makes, fingerprint=fingerprint_of([*facts, *(each.fingerprint for each in read)])
                )
                apart.add(makes)
            renamed[stage.makes] = makes
            stages.append(
                dataclasses.replace(
                    stage,
                    makes=makes,
                    inputs=inputs,
                    checkpoints=checkpoints,
                    steering=steering,
                    planned=stage.by_recipe if makes in apart else None,
                )
            )
        return dataclasses.replace(self, stages=tuple(stages))

    def with_sources(self, name: str, sources: Sequence[Any]) -> Plan | None:
        """This plan with the stage `name` reading what `sources` identifies: what a recipe of today would plan.

        None where that cannot be told from the plan alone: a stage was steered, or planned by another Workbench.
        """
        stages: list[StagePlan] = []
        renamed: dict[ArtifactName, ArtifactName] = {}
        for stage in self.stages:
            inputs = {kind: renamed.get(each, each) for kind, each in stage.inputs.items()}
            checkpoints = {kind: renamed.get(each, each) for kind, each in stage.checkpoints.items()}
            new = dataclasses.replace(stage, inputs=inputs, checkpoints=checkpoints)
            if stage.name == name:
                new = dataclasses.replace(new, sources=list(sources))
            if new != stage:
                if stage.planned is not None or fingerprint_of(_parts_of(stage)) != stage.makes.fingerprint:
                    return None
                parts = _parts_of(new)
                makes = dataclasses.replace(stage.makes, fingerprint=fingerprint_of(parts))
                new = dataclasses.replace(
                    new,
                    makes=makes,
                    **_way_to_be_longer(parts, self.store, label=stage.name, table=new.table()),
                )
            renamed[stage.makes] = new.makes
            stages.append(new)
        return dataclasses.replace(self, stages=tuple(stages))

    def is_complete(self) -> bool:
        """Whether every stage is finished."""
        return all(self.store.exists(stage.makes) for stage in self.stages)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for plan.json."""
        return {
            "version": PLAN_VERSION,
            "name": self.name,
            "recipe": self.recipe,
            "recipe_folder": str(self.recipe_folder),
            "stages": [stage.to_dict() for stage in self.stages],
        }

    @staticmethod
    def from_dict(facts: Mapping[str, Any], *, home: Path, recipe_text: str = "") -> Plan:
        """The plan that `to_dict` described. Raises BadInput for a plan of a newer Workbench or none at all."""
        version = facts.get("version")
        if version != PLAN_VERSION:
            newer = isinstance(version, int) and version > PLAN_VERSION
            raise BadInput(
                f"plan version {version!r} is not {PLAN_VERSION}",
                fix="upgrade Workbench to read it" if newer else "start a new run from its recipe.toml",
            )
        try:
            return Plan(
                name=facts["name"],
                recipe=facts["recipe"],
                home=home,
                recipe_folder=Path(facts["recipe_folder"]),
                recipe_text=recipe_text,
                stages=tuple(StagePlan.from_dict(stage) for stage in facts["stages"]),
            )
        except (KeyError, TypeError, AssertionError) as error:
            raise BadInput(
                f"the plan is not whole ({error})", fix="start a new run from its recipe.toml"
            ) from None


def make_plan(loaded: LoadedRecipe, *, home: Path | None = None, name: str | None = None) -> Plan:
    """The plan of a checked recipe in a home. Raises BadInput for a bad `name` or a source that is not there.

    Without `name` the run is called by the recipe's name and six characters of the plan's fingerprint: the same
    recipe with the same settings is the same run.
    """
    digests = SourceDigests(find_home(home))
    if name is not None and not NAME.fullmatch(name):
        raise BadInput(f"--name {one_line(name, 60)!r} cannot name a run", fix=NAME_RULE)
    start = _find_start(loaded, home=find_home(home))
    store = Store(find_home(home) / "store")
    stages: list[StagePlan] = []
    made: dict[str, ArtifactName] = {}
    checkpoints: dict[str, ArtifactName] = {}
    for kind in STAGES:
        table = getattr(loaded.recipe, kind.name)
        if table is None:
            continue
        model = (loaded.recipe.model or Model()) if "model" in kind.needs and start is None else None
        inputs = {need: made[need] for need in kind.needs if need in made}
        measured = dict(checkpoints) if "checkpoints" in kind.needs else {}
        if getattr(table, "models", "all") == "last":
            measured = dict(list(measured.items())[-1:])
        settings = _settings(loaded, kind.name, table)
        if isinstance(table, Start) and start is not None:
            sources = start.identity(table, digests)
            settings["model"] = dataclasses.replace(settings["model"], value=start.reference)
        else:
            sources = _sources(kind, table, loaded, digests)
        parts = _identifying_parts(kind, table, model, inputs, measured, sources)
        stage = StagePlan(
            name=kind.name,
            settings=settings,
            model=None if model is None else _settings(loaded, "model", model),
            makes=ArtifactName(kind.makes, kind.name, fingerprint_of(parts)),
            inputs=inputs,
            checkpoints=measured,
            sources=sources,
            shape=start.shape if kind.name == "start" and start is not None else None,
            **_way_to_be_longer(parts, store, label=kind.name, table=table),
        )
        stages.append(stage)
        made[kind.makes] = stage.makes
        if kind.name == "start" and start is not None:
            made["tokenizer"] = start.tokenizer or stage.makes
        if kind.makes == "checkpoint":
            checkpoints[kind.name] = stage.makes
    digests.keep()
    if not stages:
        raise BadInput("has no stage", file=loaded.path, fix=f"add a table: {', '.join(STAGE_NAMES)}")
    identity = fingerprint_of([[stage.makes.fingerprint, _values(stage)] for stage in stages])
    return Plan(
        name=name or f"{loaded.recipe.name[:57]}-{identity[:6]}",
        recipe=loaded.recipe.name,
        home=find_home(home),
        recipe_folder=loaded.folder,
        recipe_text=loaded.text,
        stages=tuple(stages),
    )


def _shorter_of(facts: Mapping[str, Any]) -> Shorter:
    return Shorter(ArtifactName(**facts["artifact"]), facts["tokens"], facts["step"])


def _find_start(loaded: LoadedRecipe, *, home: Path) -> StartingPoint | None:
    """What [start] means; None without one. Raises BadInput at the recipe's line, also for too long a context."""
    if loaded.recipe.start is None:
        return None
    try:
        start = find_starting_point(loaded.recipe.start, base=loaded.folder, home=home)
    except (BadInput, NotFound) as error:
        raise loaded.blame("start", "model", error) from None
    longest = start.shape.max_position_embeddings
    for name in ("pretrain", "sft", "dpo"):
        table = getattr(loaded.recipe, name)
        if table is not None and table.context_length > longest:
            problem = BadInput(
                f"{table.context_length} is more than the {longest} positions of {start.reference}",
                fix="lower it, or raise [start] max_position_embeddings",
            )
            raise loaded.blame(name, "context_length", problem)
    return start


def _settings(loaded: LoadedRecipe, name: str, table: Table) -> dict[str, Setting]:
    plain = table.model_dump(mode="json")
    inside = {
        key: loaded.origins_inside(name, key) for key in tables_inside(type(table)) if plain[key] is not None
    }
    return {key: Setting(value, loaded.origin(name, key), inside.get(key)) for key, value in plain.items()}


def _values(stage: StagePlan) -> dict[str, Any]:
    """Every value but those that mean what was done before their key was there: runs keep their names."""
    later = defaults_of_later_keys(tables()[stage.name])
    values = {key: setting.value for key, setting in stage.settings.items()}
    return {key: value for key, value in values.items() if key not in later or value != later[key]}


def _identifying_parts(
    kind: StageKind,
    table: Table,
    model: Model | None,
    inputs: Mapping[str, ArtifactName],
    checkpoints: Mapping[str, ArtifactName],
    sources: Sequence[Any],
) -> dict[str, Any]:
    """Everything that can change what a stage makes."""
    return {
        "stage": kind.name,
        "version": kind.version,
        "settings": identifying_values(table),
        "model": None if model is None else model.model_dump(mode="json"),
        "inputs": {need: name.fingerprint for need, name in inputs.items()},
        "checkpoints": {stage: name.fingerprint for stage, name in checkpoints.items()},
        "sources": sources,
    }


def _parts_of(stage: StagePlan) -> dict[str, Any]:
    kind = next(kind for kind in STAGES if kind.name == stage.name)
    return _identifying_parts(
        kind, stage.table(), stage.model_table(), stage.inputs, stage.checkpoints, stage.sources
    )


def _way_to_be_longer(parts: dict[str, Any], store: Store, *, label: str, table: Table) -> dict[str, Any]:
    """`family` and `shorter` of a stage plan."""
    family = family_of(parts)
    if family is None:
        return {}
    return {
        "family": family,
        "shorter": find_shorter(store, family, label=label, tokens=getattr(table, LENGTH)),
    }


def _sources(kind: StageKind, table: Table, loaded: LoadedRecipe, digests: SourceDigests) -> list[Any]:
    """What the stage will read from outside the store. Raises BadInput, at the recipe's line, when it is not there."""
    corpus = loaded.recipe.corpus
    try:
        packages = identity_of_packages(corpus.packages if corpus is not None else ())
    except BadInput as error:
        raise loaded.blame("corpus", "packages", error) from None
    try:
        return identity_of(kind.name, table, folder=loaded.folder, packages=packages, digests=digests)
    except BadInput as error:
        raise loaded.blame(kind.name, "tasks" if kind.name == "eval" else "sources", error) from None


def summary_of(plan: Plan, stage: StagePlan) -> dict[str, Any]:
    """The figures a finished stage left in its manifest; empty when it is not finished."""
    try:
        return dict(read_manifest(plan.store.folder(stage.makes)).get("summary", {}))
    except WorkbenchError:
        return {}
