"""The configuration: what is refused and how, what is exact, what makes another run."""

import subprocess
import sys
from pathlib import Path

import pytest

from roadmap.config.compose import as_yaml, compose, load, to_dict
from roadmap.config.identity import difference, digest, identity
from roadmap.config.schema import StepConfig
from roadmap.config.steps import steps
from roadmap.errors import ConfigError

ROOT = Path(__file__).parents[1]
BAD = [
    (["model.kernal_size=5"], "kernal_size", "did you mean kernel_size"),
    (["+model.kernal_size=5"], "kernal_size", "did you mean kernel_size"),
    (["+foo=1"], "foo", "recipe training"),
    (["recipe.epochs=abc"], "recipe.epochs=abc", "Integer"),
    (["recipe.lr=[1]"], "recipe.lr", "Float"),
    (["model.act=swish"], "model.act=swish", "relu gelu"),
    (["+step=invertd_bottleneck"], "step/invertd_bottleneck", "inverted_bottleneck"),
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
    (["model.depths=[3,0]"], "model.depths", "one to four numbers"),
    (["model.patch_size=0"], "model.patch_size=0", "more than 0"),
    (["model.depths=[3,3,0,3]"], "model.depths", "more than 0"),
    (["model.width=0"], "model.width=0", "more than 0"),
    (["recipe.epochs=0"], "recipe.epochs=0", "more than 0"),
    (["recipe.mixup_prob=2"], "recipe.mixup_prob=2", "0 to 1"),
    (["recipe.scale=[0.5]"], "recipe.scale", "two numbers"),
    (["seed=-1"], "seed=-1", "0 to"),
    (["data.mean=[0.1,0.2]"], "data.mean", "data.in_chans = 1"),
    (["data.img_size=16"], "data.img_size=16", "32 or more"),
    (["study.name=../away"], "study.name=../away", "letters"),
    (["+step=gelu", "step.name=a/b"], "step.name=a/b", "letters"),
    (["+step=gelu", "step.name=layer_norm"], "step.name=layer_norm", "a name of its own"),
    (["step.name=mine", "step.parent=nobody"], "step.parent=nobody", "one of resnet training_recipe"),
    (["recipe.aa=rand-m9"], "recipe.aa=rand-m9", "none for data held in memory"),
    (["data.max_train=100"], "recipe.batch_size=128", "up to 100"),
    (["+step=gelu", "budget.strength=1", "budget.batch_size=63"], "recipe.batch_size=63", "even"),
    (["data.in_chans=3", "data.mean=[0,0,0]", "data.std=[1,1,1]"], "data.in_chans=3", "1 for fashion_mnist"),
    (["data.num_classes=5"], "data.num_classes=5", "10 for fashion_mnist"),
    (["recipe.opt_betas=[0.9]"], "recipe.opt_betas", "two numbers"),
    (["recipe.lr=inf"], "recipe.lr=inf", "finite"),
    (["recipe.weight_decay=-1"], "recipe.weight_decay=-1", "0 or more"),
    (["recipe.warmup_epochs=4"], "recipe.warmup_epochs=4", "below recipe.epochs"),
    (["data.std=[0]"], "data.std", "more than 0"),
    (["recipe.bn_batch_size=100"], "recipe.bn_batch_size=100", "divides"),
    (["training.checkpoint_minutes=-1"], "training.checkpoint_minutes=-1", "0 or more"),
    (["regime.name=foo"], "regime.name=foo", "micro nano resnet200 resnet50"),
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
def test_train_refuses_before_anything_is_created(words: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert 1 <= len(done.stderr.splitlines()) <= 2
    assert list(tmp_path.iterdir()) == []


def test_imagenet_recipes_are_the_published_ones() -> None:
    original, modern = (
        compose(["study=imagenet"]).recipe,
        compose(["study=imagenet", "+step=training_recipe"]).recipe,
    )
    assert (original.opt.name, original.lr, original.momentum, original.weight_decay) == (
        "sgd",
        0.1,
        0.9,
        1e-4,
    )
    assert (original.epochs, original.batch_size, original.sched.name) == (90, 256, "step")
    assert (original.decay_epochs, original.decay_rate, original.warmup_epochs) == (30, 0.1, 0)
    assert (original.scale, original.ratio, original.hflip) == ([0.08, 1.0], [3 / 4, 4 / 3], 0.5)
    assert (original.aa, original.mixup_prob, original.reprob, original.smoothing, original.drop_path) == (
        "none",
        0,
        0,
        0,
        0,
    )
    assert (original.init.name, modern.init.name) == ("kaiming_normal", "torch")
    assert (modern.opt.name, modern.lr, modern.opt_betas, modern.opt_eps) == (
        "adamw",
        4e-3,
        [0.9, 0.999],
        1e-8,
    )
    assert (modern.weight_decay, modern.filter_bias_and_bn, modern.batch_size, modern.bn_batch_size) == (
        0.05,
        True,
        4096,
        128,
    )
    assert (modern.epochs, modern.warmup_epochs, modern.sched.name, modern.min_lr) == (
        300,
        20,
        "cosine",
        1e-6,
    )
    assert (modern.aa, modern.mixup, modern.cutmix, modern.mixup_prob) == (
        "rand-m9-mstd0.5-inc1",
        0.8,
        1.0,
        1.0,
    )
    assert (modern.mixup_switch_prob, modern.smoothing, modern.reprob, modern.drop_path) == (
        0.5,
        0.1,
        0.25,
        0.1,
    )
    assert (modern.scale, modern.ratio, modern.hflip, modern.model_ema_decay) == (
        [0.08, 1.0],
        [3 / 4, 4 / 3],
        0.5,
        0.9999,
    )
    assert compose(["study=imagenet_r200", "+step=training_recipe"]).recipe.drop_path == 0.5


@pytest.mark.parametrize(
    "study",
    [
        "fashion_mnist",
        "imagenet",
        *(pytest.param(other, marks=pytest.mark.slow) for other in ("fashion_mnist_long", "smoke", "imagenet_r200")),
    ],
)
def test_every_step_after_the_recipe_trains_with_the_same_recipe(study: str) -> None:
    recipes = [compose([f"study={study}", f"+step={step.name}"]).recipe for step in steps()[1:]]
    assert all(recipe == recipes[0] for recipe in recipes)
    assert compose([f"study={study}"]).recipe.name == "original"


def test_a_study_with_overrides_is_another_study() -> None:
    plain, changed = (
        compose(["+step=gelu"]),
        compose(["+step=gelu", "recipe.lr=0.5", "seed=3", "training.threads=2"]),
    )
    assert plain.study.name == "fashion_mnist"
    assert changed.study.name == "fashion_mnist,recipe.lr=0.5"
    assert compose(["study=smoke", "regime=resnet50"]).study.name == "smoke,regime=resnet50"
    assert compose(["recipe.lr=0.5", "study.name=mine"]).study.name == "mine"


def test_a_step_of_ones_own_stands_in_the_study_beside_the_others() -> None:
    own = compose(["+step=large_kernel", "step.name=kernel_13", "model.kernel_size=13"])
    assert (own.study.name, own.model.kernel_size) == ("fashion_mnist", 13)
    assert own.step == StepConfig("kernel_13", "large_kernel", "own", "kernel", "kernel_13")
    other = compose(["step.name=mine", "step.parent=gelu", "step.title=Mine"])
    assert (other.step.parent, other.step.title) == ("gelu", "Mine")


def test_what_a_run_computes_names_it() -> None:
    base = to_dict(compose(["+step=gelu"]))
    assert digest(base) == digest(
        to_dict(compose(["+step=gelu", "training.threads=2", "runs_dir=elsewhere", "data.cache=else"]))
    )
    for words in (["seed=1"], ["recipe.lr=1"], ["data.max_train=1000"], ["model.width=8"]):
        other = to_dict(compose(["+step=gelu", *words]))
        assert digest(base) != digest(other)
        key = words[0].split("=")[0]
        assert key in difference(identity(base), identity(other))


def test_a_frozen_configuration_comes_back_as_it_was(tmp_path: Path) -> None:
    config = compose(["study=imagenet_r200", "+step=layer_scale", "seed=7"])
    (tmp_path / "config.yaml").write_text(as_yaml(config))
    assert load(tmp_path / "config.yaml") == config


def test_a_frozen_configuration_runs_no_code(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("study: !!python/object/apply:os.system ['touch hacked']\n")
    with pytest.raises(ConfigError, match=r"config\.yaml"):
        load(tmp_path / "config.yaml")
    assert not Path("hacked").exists()
