"""The configuration: what is refused and how, what is exact, what makes another run."""

from pathlib import Path

import pytest
from helpers.smoke import inside

from roadmap.config.compose import as_yaml, compose, load
from roadmap.config.conf import to_dict
from roadmap.config.identity import difference, digest, identity
from roadmap.config.schema import StepConfig
from roadmap.config.steps import steps
from roadmap.errors import ConfigError

BAD = [
    (["model.kernal_size=5"], "kernal_size", "did you mean kernel_size"),
    (["+model.kernal_size=5"], "kernal_size", "did you mean kernel_size"),
    (["+foo=1"], "foo", "recipe training"),
    (["recipe.epochs=abc"], "recipe.epochs=abc", "Integer"),
    (["recipe.lr=[1]"], "recipe.lr", "a number, more than 0"),
    (["model.act=swish"], "model.act=swish", "relu gelu"),
    (["+step=invertd_bottleneck"], "step=invertd_bottleneck", "did you mean inverted_bottleneck"),
    (["+step=Gelu"], "step=Gelu", "did you mean gelu?"),
    (["step=gelu"], "step=gelu", "write +step=gelu"),
    (["+step=gelu", "+step=layer_norm"], "step=layer_norm", "one +step=NAME"),
    (["+step=[gelu,layer_norm]"], "step=[gelu,layer_norm]", "one +step=NAME"),
    (["study=nope"], "study/nope", "fashion_mnist fashion_mnist_long fashion_mnist_recipe imagenet"),
    (["recipe=nope"], "recipe/nope", "modern original"),
    (["regime=nope"], "regime/nope", "micro nano resnet200 resnet50"),
    (["data=nope"], "data/nope", "cifar10"),
    (["seed=1,2"], "seed=1,2", "one value per run"),
    (["bogus"], "bogus", "write key=value"),
    (["=3"], "=3", "key=value"),
    (["model=3"], "group", "string"),
    (["~recipe"], "recipe", "needed"),
    (["model.block=[dwconv,norm,act]"], "model.block", "exactly one add"),
    (["model.block=[pw_hidden,norm,pw_stream,add]"], "model.block", "conv or dwconv"),
    (["model.block=[conv,pw_hidden,add]"], "model.block", "channels do not match at add"),
    (["model.block=[dwconv,add]"], "model.block", "channels do not match at add"),
    (["model.block=[pw_hidden,conv,pw_stream,add,conv]"], "model.block", "conv or dwconv"),
    (["model.block=[pw_hidden,conv,pw_stream,add,pw_hidden]"], "model.block", "after add"),
    (["model.block=[convolve,add]"], "model.block", "dwconv"),
    (["model.block=[patchify,add]"], "model.block=patchify", "pw_hidden"),
    (["model.stem=[norm]"], "model.stem", "stem_conv or patchify"),
    (["model.downsample=[norm]"], "model.downsample", "downsample_conv"),
    (["model.head=[flatten,avg_pool,linear]"], "model.head", "in this order"),
    (["model.kernel_size=4"], "model.kernel_size=4", "odd"),
    (["model.depths=[3,0]"], "model.depths=0", "1 to 1000"),
    *(([word], word, "1 to 1") for word in ("model.patch_size=0", "recipe.epochs=0", "training.threads=0")),
    (["recipe.mixup_prob=2"], "recipe.mixup_prob=2", "0 to 1"),
    (["recipe.scale=[0.5]"], "recipe.scale", "two numbers"),
    (["seed=-1"], "seed=-1", "0 to"),
    (["data.mean=[0.1,0.2]"], "data.mean", "data.in_chans = 1"),
    (["data.img_size=16"], "data.img_size=16", "32 to 16384"),
    (["+step=gelu", "step.name=layer_norm"], "step.name=layer_norm", "a name of its own"),
    (["step.name=mine", "step.parent=nobody"], "step.parent=nobody", "one of resnet training_recipe"),
    (["data.resize=64"], "data.resize=64", "up to data.img_size, 32"),
    (["data.name=imagnet"], "data.name=imagnet", "did you mean imagenet"),
    (["lr=0.01"], "Key 'lr' not in 'Config'", "(did you mean recipe.lr?)"),
    (["+lr=0.01"], "Key 'lr' not in 'Config'", "(did you mean recipe.lr?)"),
    (["training.lr=0.01"], "Key 'lr' not in 'TrainingConfig'", "(did you mean recipe.lr?)"),
    (["epochs=3"], "epochs", "(did you mean budget.epochs or recipe.epochs?)"),
    (["kernel_sizes=3"], "kernel_sizes", "(did you mean model.kernel_size?)"),
    (["data.max_train=100"], "data.max_train=100", "recipe.batch_size=128"),
    (["+step=gelu", "budget.strength=1", "budget.batch_size=63"], "recipe.batch_size=63", "even"),
    (["data.in_chans=3", "data.mean=[0,0,0]", "data.std=[1,1,1]"], "data.in_chans=3", "1 for fashion_mnist"),
    (["data.num_classes=5"], "data.num_classes=5", "10 for fashion_mnist"),
    (["recipe.opt_betas=[0.9]"], "recipe.opt_betas", "two numbers"),
    (["recipe.lr=inf"], "recipe.lr=inf", "a number, more than 0, up to 1e+38"),
    (["recipe.weight_decay=-1"], "recipe.weight_decay=-1", "0 to 1000"),
    (["recipe.warmup_epochs=4"], "recipe.warmup_epochs=4", "below recipe.epochs"),
    (["data.std=[0]"], "data.std=0", "1e-06 to 1000"),
    (["recipe.bn_batch_size=100"], "recipe.bn_batch_size=100", "divides"),
    (["training.checkpoint_minutes=-1"], "training.checkpoint_minutes=-1", "0 to 1"),
    (["regime.name=foo"], "regime.name=foo", "micro nano resnet200 resnet50"),
    (["study.name=a b (c)"], "study.name=a b (c)", "this value needs quotes: \"study.name='a b (c)'\""),
    (["study.name=é"], "study.name=é", "letters, digits"),
    (["recipe.aa=x{0}"], "recipe.aa=x{0}", "this value needs quotes"),
    (["+recipe_step=mixup"], "step=mixup", "of another ladder: add study.ladder=recipe"),
    (["study=smoke_recipe", "+step=gelu"], "step=gelu", "of another ladder: add study.ladder=network"),
    (["study.ladder=mine"], "study.ladder=mine", "network recipe"),
    (["study=smoke_recipe", "recipe=modern"], "recipe=modern", "none: the steps of ladder recipe change it"),
    (["study=smoke_recipe", "recipe_step=mixup"], "start of the ladder", "write +step=mixup"),
    (["study=smoke_recipe", "+recipe_step=mixup", "+recipe_step=cutmix"], "=cutmix", "one +step=NAME"),
    (["study=smoke_recipe", "+recipe_step=mixup", "step.name=cutmix"], "=cutmix", "a name of its own"),
]


@pytest.mark.parametrize(("words", "key", "allowed"), BAD, ids=[" ".join(words) for words, _, _ in BAD])
def test_bad_input_names_the_key_and_what_is_allowed(words: list[str], key: str, allowed: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        compose(words)
    message = str(refusal.value)
    assert key in message
    assert allowed in message
    assert len(message.splitlines()) <= 2


@pytest.mark.parametrize("words", [["+model.kernal_size=5"], ["+step=gelu", "+step=gelu"], ["model.block=[dwconv]"]])
def test_train_refuses_before_anything_is_created(words: list[str], tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, said = inside("train.py", *words)
    assert code == 2 and 1 <= len(said.splitlines()) <= 2
    assert list(tmp_path.iterdir()) == []


ORIGINAL = """
opt=sgd lr=0.1 momentum=0.9 weight_decay=0.0001 epochs=90 batch_size=256 sched=step decay_epochs=30.0 decay_rate=0.1
warmup_epochs=0.0 hflip=0.5 aa=none mixup_prob=0.0 reprob=0.0 smoothing=0.0 drop_path=0.0 init=kaiming_normal
"""
MODERN = """
opt=adamw lr=0.004 opt_eps=1e-08 weight_decay=0.05 filter_bias_and_bn=True epochs=300 batch_size=4096 bn_batch_size=128
sched=cosine warmup_epochs=20.0 min_lr=1e-06 hflip=0.5 aa=rand-m9-mstd0.5-inc1 mixup=0.8 cutmix=1.0 mixup_prob=1.0
mixup_switch_prob=0.5 smoothing=0.1 reprob=0.25 drop_path=0.1 model_ema_decay=0.9999 init=torch
"""


@pytest.mark.parametrize(("words", "published"), [([], ORIGINAL), (["+step=training_recipe"], MODERN)])
def test_imagenet_recipes_are_the_published_ones(words: list[str], published: str) -> None:
    recipe = to_dict(compose(["study=imagenet", *words]))["recipe"]
    for key, value in (pair.split("=") for pair in published.split()):
        assert str(recipe[key]) == value, key
    assert (recipe["scale"], recipe["ratio"], recipe["opt_betas"]) == ([0.08, 1.0], [3 / 4, 4 / 3], [0.9, 0.999])
    if words:
        assert compose(["study=imagenet_r200", *words]).recipe.drop_path == 0.5


SLOW = [pytest.param(study, marks=pytest.mark.slow) for study in ("fashion_mnist_long", "smoke", "imagenet_r200")]


@pytest.mark.parametrize("study", ["fashion_mnist", "imagenet", *SLOW])
def test_every_step_after_the_recipe_trains_with_the_same_recipe(study: str) -> None:
    recipes = [compose([f"study={study}", f"+step={step.name}"]).recipe for step in steps()[1:]]
    assert all(recipe == recipes[0] for recipe in recipes)
    assert compose([f"study={study}"]).recipe.name == "original"


def test_a_study_with_overrides_is_another_study() -> None:
    for words, name in (
        (["+step=gelu"], "fashion_mnist"),
        (["+step=gelu", "recipe.lr=0.5", "seed=3", "training.threads=2"], "fashion_mnist,recipe.lr=0.5"),
        (["study=smoke", "regime=resnet50"], "smoke,regime=resnet50"),
        (["recipe.lr=0.5", "study.name=mine"], "mine"),
    ):
        assert compose(words).study.name == name


def test_a_step_of_ones_own_stands_in_the_study_beside_the_others() -> None:
    own = compose(["+step=large_kernel", "step.name=kernel_13", "model.kernel_size=13"])
    assert (own.study.name, own.model.kernel_size) == ("fashion_mnist", 13)
    assert own.step == StepConfig("kernel_13", "large_kernel", "own", "kernel", "kernel_13")
    other = compose(["step.name=mine", "step.parent=gelu", "step.title=Mine"])
    assert (other.step.parent, other.step.title) == ("gelu", "Mine")


def test_what_a_run_computes_names_it() -> None:
    base = to_dict(compose(["+step=gelu"]))
    elsewhere = ["training.threads=2", "runs_dir=elsewhere", "data.cache=else"]
    assert digest(base) == digest(to_dict(compose(["+step=gelu", *elsewhere])))
    for word in ("seed=1", "recipe.lr=1", "data.max_train=1000", "model.width=8"):
        other = to_dict(compose(["+step=gelu", word]))
        assert digest(base) != digest(other)
        assert word.partition("=")[0] in difference(identity(base), identity(other))


def test_a_frozen_configuration_comes_back_as_it_was(tmp_path: Path) -> None:
    config = compose(["study=imagenet_r200", "+step=layer_scale", "seed=7"])
    (tmp_path / "config.yaml").write_text(as_yaml(config))
    assert load(tmp_path / "config.yaml") == config
    (tmp_path / "config.yaml").write_text(as_yaml(config).replace("title: Layer scale", "title: ${oc.env:HOME}"))
    with pytest.raises(ConfigError, match="allowed is plain data, without interpolations"):
        load(tmp_path / "config.yaml")
