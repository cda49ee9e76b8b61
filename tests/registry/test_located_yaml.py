"""YAML with lines: where keys stand, what is read, and that nothing in a file runs or crashes the reader."""

import math
from pathlib import Path

import pytest
import yaml

import dlkd
from dlkd.ablations.plan.grid_files import load_grid
from dlkd.ablations.search.search_files import find_search
from dlkd.registry import default_registry, load_registry
from dlkd.registry.located_yaml import LocatedYaml, dump_yaml, parse_yaml, read_yaml
from dlkd.registry.problems import ConfigError, Problem, nearest, show_path

TEXT = """\
# a comment
variants:
  dlkd:
    sigma: 4.0
    stages: [0,
             2]
  other: {extends: dlkd, decoder: {global: none,
    local: lfrb}}
"""


def test_data_is_what_pyyaml_reads():
    assert parse_yaml(TEXT, "f.yaml").data == yaml.safe_load(TEXT)


@pytest.mark.parametrize(
    ("text", "value"),
    [("x: 0.001", 0.001), ("x: null", None), ("x: ~", None), ("x: yes", True), ("x: '4'", "4"),
     ("x: 0x10", 16), ("x:", None), ("x: [1, [2, {a: 3}]]", [1, [2, {"a": 3}]])],
)  # fmt: skip
def test_scalars_are_pyyamls(text, value):
    assert parse_yaml(text, "f.yaml").data == {"x": value} == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ((), 2), (("variants",), 2), (("variants", "dlkd"), 3), (("variants", "dlkd", "sigma"), 4),
        (("variants", "dlkd", "stages"), 5), (("variants", "dlkd", "stages", 1), 6), (("variants", "other"), 7),
        (("variants", "other", "decoder", "local"), 8),
        (("variants", "dlkd", "missing", "deeper"), 3),  # the nearest key above it that stands there
    ],
)  # fmt: skip
def test_every_key_knows_its_line(path, line):
    assert parse_yaml(TEXT, "f.yaml").line(path) == line


def test_duplicate_keys_are_all_collected_with_both_lines():
    located = parse_yaml("a: 1\nb: {c: 1, c: 2}\na: 2\na: 3\n", "f.yaml")
    assert [str(p) for p in located.problems] == [
        "f.yaml:2: b.c: the key 'c' stands twice, first on line 2",
        "f.yaml:3: a: the key 'a' stands twice, first on line 1",
        "f.yaml:4: a: the key 'a' stands twice, first on line 3",
    ]


def test_aliases_are_read():
    located = parse_yaml("a: &x {k: 1}\nb: *x\n", "f.yaml")
    assert located.data == {"a": {"k": 1}, "b": {"k": 1}}


def test_own_files_are_read_as_those_of_users_are():
    """Lines and texts too, by another parser."""
    text = (Path(dlkd.__file__).parent / "registry.yaml").read_text(encoding="utf-8") + TEXT + "n: [1e-2, 012, 12:30]"
    own = parse_yaml(text, "registry.yaml", own=True)
    assert own == parse_yaml(text, "registry.yaml")
    assert len(own.lines) > 500


def test_an_empty_file_holds_nothing():
    assert parse_yaml("", "f.yaml").data is None
    assert parse_yaml("# only words\n", "f.yaml").data is None


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: [1,\nb: 2\n", 3),
        ("a: 1\n\tb: 2\n", 2),
        ("a: 1\n b: 2\n", 2),
        ("a: 'open\n", 2),
        ("a: *nowhere\n", 1),
        ("a: 1\n[1, 2]: 3\n", 2),
        ("{1: 2}: 3\n", 1),
        ("a: 1\n---\nb: 2\n", 2),  # two documents
        ("a: 1\nb: \x07\n", 2),  # a control character
        ("a: " + "9" * 5000, 1),
        ("x: 1\na: {<<: 3}\n", 2),
        ("x: 1\na:\n  <<: [1, 2]\n", 3),
        ("a: &a\n  <<: *a\n", 0),
        ("x: " + "y" * 2**20, 0),
        (
            "a: &a [1,1,1,1,1,1,1,1,1,1]\n"
            + "".join(f"{y}: &{y} [{', '.join([f'*{x}'] * 10)}]\n" for x, y in zip("abcdef", "bcdefg", strict=True)),
            5,
        ),
        ("x: 1\na: !!int four\n", 2),
        ("x: 1\na: !!timestamp 1\n", 2),
        ("x: 1\na: !!timestamp 2026-01-02\n", 2),
        ("x: 1\na: !!bool x\n", 2),
        ("x: 1\na: !!int ''\n", 2),
        ("x: 1\na: !!binary eA==\n", 2),
        ("x: 1\na: '\\uD83D\n", 3),
        ("a: &x [1, *x]\n", 0),  # holds itself
        ("v: &x\n  k: *x\n", 0),
        ("a: " + "[" * 5000, 0),
        ("a: " + "[" * 5000 + "]" * 5000, 0),
    ],
)
def test_unreadable_text_is_one_problem_with_its_line(text, line):
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "f.yaml")
    (problem,) = caught.value.problems
    assert problem.file == "f.yaml"
    assert problem.line == line
    assert "not readable as YAML" in str(problem)


@pytest.mark.parametrize(
    "value",
    [
        "!!python/object/apply:os.system ['touch RAN']",
        "!!python/object/new:os.system ['touch RAN']",
        "!!python/object:os.PathLike {}",
        "!!python/name:os.system ''",
        "!!python/module:os ''",
        "!!python/tuple [1, 2]",
        "!mine {a: 1}",
        "!mine x",
        "[1, {deep: !!python/object/apply:os.system ['touch RAN']}]",
    ],
)
def test_tags_that_would_run_code_are_refused_and_run_nothing(tmp_path, monkeypatch, value):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"^f\.yaml:2: not readable as YAML: .*tag"):
        parse_yaml(f"a: 1\nb: {value}\n", "f.yaml")
    assert not list(tmp_path.iterdir())


def test_a_tagged_key_is_refused():
    with pytest.raises(ConfigError, match="not readable as YAML"):
        parse_yaml("!!python/name:os.system x: 1\n", "f.yaml")


def test_files(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(TEXT, encoding="utf-8")
    located = read_yaml(path)
    assert located.file == str(path)
    assert located.data == yaml.safe_load(TEXT)
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot read: No such file"):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="cannot read: Is a directory"):
        read_yaml(tmp_path)
    path.write_bytes(b"a: \xff\xfe")
    with pytest.raises(ConfigError, match=r"mine\.yaml: cannot read: not UTF-8 text"):
        read_yaml(path)


def test_problems_read_as_file_line_path_and_message():
    assert str(Problem("f.yaml", 3, ("rows", 2, "name"), "bad")) == "f.yaml:3: rows[2].name: bad"
    assert str(Problem("f.yaml", 0, (), "bad")) == "f.yaml: bad"
    assert str(Problem("f.yaml", 7, (), "bad")) == "f.yaml:7: bad"
    assert show_path(("variants", "dlkd", "decoder", "global")) == "variants.dlkd.decoder.global"
    assert LocatedYaml("f.yaml", {}, {("a",): 5}).problem(("a", "b"), "bad").line == 5


def test_an_error_shows_each_problem_once_in_order():
    first, second = Problem("f", 1, (), "one"), Problem("f", 2, (), "two")
    error = ConfigError([first, second, first])
    assert error.problems == [first, second]
    assert str(error) == "f:1: one\nf:2: two"


def test_the_nearest_name_or_all_of_them():
    assert nearest("gfbr", ["gfrb", "lfrb", "embed"]) == "; did you mean 'gfrb'?"
    assert nearest("zzz", ["b", "a"]) == "; known: a, b"
    assert nearest("x", []) == ""


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-2", 0.01), ("1E5", 1e5), ("-1e3", -1000.0), (".5e-3", 0.0005), ("1.", 1.0), (".inf", math.inf), ("+2", 2),
     ("012", "012"), ("1_000", "1_000"), ("12:30", "12:30"), ("2026-01-02", "2026-01-02"), ("0b1", "0b1")],
)  # fmt: skip
def test_numbers_are_those_of_yaml_1_2_and_what_is_none_is_text(text, value):
    assert parse_yaml(f"x: {text}", "f.yaml").data == {"x": value}


@pytest.mark.parametrize("key", ["no", "on", "012", "1.0", "null", "2026-01-02"])
def test_a_key_is_what_is_written(key):
    assert parse_yaml(f"{key}: 1", "f.yaml").data == {key: 1}


def test_merge_keys_keep_the_lines_and_lie_under_what_the_mapping_says():
    text = "a: &a {x: 1, y: 2}\nb: &b\n  <<: *a\n  y: 3\nc:\n  y: 4\n  <<: [*b, {z: 5, x: 9}]\n"
    located = parse_yaml(text, "f.yaml")
    assert located.data == yaml.safe_load(text)
    assert [located.line(("c", k)) for k in "xyz"] == [1, 6, 7]
    assert located.problems == []
    assert parse_yaml("'<<': 1", "f.yaml").data == {"<<": 1}


@pytest.mark.parametrize(
    "value", ["1e-2", "012", "yes", "null", "1", "", "<<", "2026-01-02", 1e-5, 1e300, 3, None, True]
)
def test_what_is_dumped_reads_back(value):
    read = parse_yaml(dump_yaml({"a": [value], "b": {"c": value}}), "f.yaml").data
    assert read == {"a": [value], "b": {"c": value}}
    assert type(read["a"][0]) is type(value)


GRID = "title: t\nreference: a\nrows:\n- {label: a, variant: dlkd}\n"
SEARCH = "title: t\nsearch:\n  variant: dlkd\n  space:\n    sigma: {choice: [2, 4]}\n"
VARIANTS = "variants:\n  mine:\n    extends: dlkd\n    sigma: 2\n"


def read_as(kind, path):
    if kind == "registry":
        return load_registry(path).variants["mine"]
    if kind == "grid":
        return load_grid(str(path)).model_dump()
    return find_search(str(path), default_registry()).model_dump()


@pytest.mark.parametrize(("kind", "text"), [("registry", VARIANTS), ("grid", GRID), ("search", SEARCH)])
def test_files_of_other_editors(tmp_path, kind, text):
    """A byte order mark and other line ends are read; each other way that a file may be is one located message."""
    path = tmp_path / "mine.yaml"
    path.write_bytes(text.encode())
    plain = read_as(kind, path)
    for same in (text.encode("utf-8-sig"), text.replace("\n", "\r\n").encode(), ("---\n" + text + "...\n").encode()):
        path.write_bytes(same)
        assert read_as(kind, path) == plain
    third = text.splitlines(keepends=True)
    for content, says in (
        (text.encode("utf-16"), ": cannot read: UTF-16 text; save it as UTF-8"),
        (text.encode("utf-16-le"), ": cannot read: UTF-16 text; save it as UTF-8"),
        (text.encode("latin-1") + b"# caf\xe9", ": cannot read: not UTF-8 text"),
        ((third[0] + "#\0\n" + third[1]).encode(), ":2: not readable as YAML: special characters are not allowed"),
        ((third[0] + "\t" + third[1]).encode(), ":2: not readable as YAML: "),
        ((text + "---\n" + text).encode(), "not readable as YAML: but found another document; one file holds one"),
        (b"", ": expected the keys "),
        (b"# words only\n---\n", ": expected the keys "),
        (b"- 1\n- 2\n", ":1: expected the keys "),
        (b"words\n", ":1: expected the keys "),
        (b"7\n", ":1: expected the keys "),
    ):
        path.write_bytes(content)
        with pytest.raises(ConfigError) as caught:
            # What is no mapping is not known to be a search: the grid's reader says so.
            read_as("grid" if kind == "search" and b"search" not in content[:40] else kind, path)
        assert str(path) in str(caught.value)
        assert says in str(caught.value), (content, str(caught.value))
        assert len(caught.value.problems) == 1
