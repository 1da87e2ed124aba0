import re

from roadmap.config.steps import model_config
from roadmap.report.drawings import drawings


def texts(svg: str | None) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg or "")


def changed(svg: str | None) -> list[str]:
    return re.findall(r'class="layer \w+ changed">.*?<text[^>]*>([^<]*)<', svg or "")


def test_the_block_is_drawn_before_and_after_also_one_of_no_step() -> None:
    (block,) = drawings(model_config("fewer_norms", "resnet50"), model_config("layer_norm", "resnet50"))
    assert texts(block["before"]) == ["7×7 depthwise conv", "batch norm", "1×1 conv, 384", "GELU", "1×1 conv, 96", "+"]
    assert changed(block["before"]) == ["batch norm"] and changed(block["after"]) == ["layer norm"]
    model = model_config("gelu")
    model.block = ["norm", "conv", "layer_scale", "add", "act"]
    (block,) = drawings(None, model)
    assert block["before"] is None
    assert texts(block["after"]) == ["batch norm", "7×7 conv", "layer scale", "+", "GELU"]


def test_other_lists_are_drawn_where_they_change() -> None:
    drawn = drawings(model_config("layer_norm"), model_config("separate_downsampling"))
    assert [each["part"] for each in drawn] == ["block", "stem", "downsample", "head"]
    assert drawn[0]["before"] is None and changed(drawn[0]["after"]) == []
    assert texts(drawn[2]["before"]) == [] and texts(drawn[2]["after"]) == ["layer norm", "2×2 conv, stride 2"]
    assert changed(drawn[2]["after"]) == ["layer norm", "2×2 conv, stride 2"]
    assert changed(drawn[3]["after"]) == ["layer norm"]
