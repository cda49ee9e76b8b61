"""The sentences say what the figures say, and no more."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from dlkd.ablations.plan.grid import Grid, GridRow
from dlkd.ablations.report.tables import tabulate
from dlkd.ablations.report.words import headline as of_table
from dlkd.ablations.report.words.captions import captions
from dlkd.ablations.report.words.comparisons import comparisons
from dlkd.ablations.report.words.conditions import notes
from dlkd.ablations.report.words.findings import repeat, row_findings
from dlkd.ablations.statistics.repeats import SETTLED

METRIC = "image_auroc"


def table(
    values, *, rows=None, factors=None, stepwise=True, metrics=(METRIC,), untrained=(), statuses=None, images=False
):
    """`values`: (rows, categories, seeds); the last row is the reference; with `images`, by image AUROC alone."""
    values = np.asarray(values, float)
    rows = rows or ["base", "more", "full"][-len(values) :]
    lines = [
        {
            **{"table": "t", "row": rows[r], "dataset": "mvtec", "category": f"c{c:02}", "seed": s, "metric": metric},
            **{"value": value, "status": "ok" if np.isfinite(value) else "failed", "reason": "it broke"},
            **{"epochs": 0 if rows[r] in untrained else 1, "max_steps": -1, "key": f"{r}-{c}-{s}", "variant": "v"},
        }
        for (r, c, s), value in np.ndenumerate(values)
        for metric in metrics
    ]
    if images:
        own = {
            "images": "x",
            "anomalous": np.arange(20) < 10,
            "influences": np.random.default_rng(0).normal(0, 1e-4, 20),
        }
        none = dict.fromkeys(own)
        lines = [line | (own if line["metric"] == METRIC else none) for line in lines]
    made = [GridRow(label=row, variant="v", factors=(factors or {}).get(row, {})) for row in rows]
    grid = Grid(name="t", title="T", rows=made, reference=rows[-1], stepwise=stepwise, metrics=metrics)
    return tabulate(pd.DataFrame(lines), grid)


def headline(found):
    return " ".join(of_table.headline(found).lines)


def steps(effects, *, n_categories=10, n_seeds=3, sd=0.002, hole=False, **options):
    noise = np.random.default_rng(0).normal(0, sd, (len(effects), n_categories, n_seeds))
    values = 0.7 + np.array(effects)[:, None, None] + noise
    if hole:
        values[-1, 0, 0] = np.nan
    return table(values, **options)


def test_a_gain_a_loss_and_what_changes_nothing_are_told_apart():
    more, full = comparisons(steps([0.0, 0.03, 0.03]))
    assert more.startswith("'more' against the row above, 'base': 'more' over 'base' helps (these categories: +")
    assert "better in 30 of 30 trainings" in more
    assert "another seed moves this difference by 0.0" in more
    assert "10 categories; 3 seeds)." in more
    assert "'full' over 'more' changes nothing that matters" in full
    assert "'more' over 'base' harms (these categories: −2." in comparisons(steps([0.03, 0.0, 0.0]))[0]


def test_against_the_reference_the_part_that_a_row_lacks_is_spoken_of():
    base, _ = comparisons(steps([0.0, 0.03, 0.03], stepwise=False))
    assert base.startswith("'base' against the reference, 'full': 'full' over 'base' helps (these categories: +3.")
    untrained = headline(steps([0.0, 0.2], rows=["nothing", "DLKD"], stepwise=False, untrained=["nothing"]))
    assert "Helps: training 'DLKD' (+20." in untrained


def test_the_headline_names_its_metric_its_scope_and_what_would_widen_it():
    said = headline(steps([0.0, 0.03, 0.03]))
    assert said.startswith(
        "For new seeds and these very test images of these 10 categories, by Image-AUROC, 95% intervals after Holm's "
        "correction: Helps: 'more' over"
    )
    assert "Changes nothing beyond 0.5 points: 'full' over 'more'" in said
    assert said.endswith("The same holds on categories like these.")
    spread = np.array([-0.02, 0.06, 0.11])[:, None]
    values = 0.7 + np.random.default_rng(0).normal(0, 0.001, (2, 3, 4))
    values[1] += spread
    said = headline(table(values))
    assert "test images of these 3 categories" in said
    assert "On categories like these no verdict is settled: more categories are needed for that claim." in said
    assert "One category shows nothing about other categories" in headline(table(values[:, 1:2]))


def test_the_wide_claim_is_left_out_where_a_repeat_might_not_make_it():
    effects = np.array([0.03, 0.035, 0.05])[:, None]
    values = 0.7 + np.random.default_rng(0).normal(0, 0.001, (2, 3, 3))
    values[1] += effects
    found = table(values)
    (finding,) = row_findings(found)
    assert finding.verdict == finding.like["verdict"] == "helps"
    assert finding.like["repeat"] < 0.8 < finding.these["repeat"]
    assert "On categories like these no verdict is settled: more categories are needed" in headline(found)
    assert headline(table(np.repeat(values[:1], 2, 0))).endswith("The same holds on categories like these.")


def test_means_that_happen_to_agree_do_not_settle_a_wide_claim():
    """The seeds' interval is the wider one here; its six degrees of freedom are not those of three means."""
    values = np.full((2, 3, 3), 0.7)
    values[1] += np.array([-0.001, 0.0, 0.001]) + np.array([-1e-4, 0.0, 1e-4])[:, None]
    (finding,) = row_findings(table(values))
    assert finding.verdict == finding.like["verdict"] == "equivalent"
    assert finding.these["low"] == finding.like["low"]
    assert finding.like["repeat"] < finding.these["repeat"] - 0.1


def test_a_source_keeps_its_capitals() -> None:
    found = steps([0.0, 0.03])
    said = replace(found, grid=found.grid.model_copy(update={"source": "at the size of a CPU"}))
    assert notes(said)[0] == "At the size of a CPU."


def test_a_claim_about_new_images_is_said_to_be_one_where_their_influences_are_known():
    found = steps([0.0, 0.03, 0.03], images=True, metrics=(METRIC, "image_ap"))
    assert found.new_images
    assert headline(found).startswith("For new seeds and new test images of these 10 categories, by Image-AUROC, 95%")
    assert any("p hold for new seeds and new test images of these categories" in note for note in notes(found))
    assert "thick for new seeds and new test images of these categories" in captions(found)["effects"].text
    by_ap = steps([0.0, 0.03, 0.03], images=True, metrics=("image_ap", METRIC))
    assert headline(by_ap).startswith("For new seeds and these very test images of these 10 categories, by Image-AP, ")
    assert any("p hold for new seeds and these very test images of these" in note for note in notes(by_ap))


def test_a_long_headline_is_a_line_per_verdict_and_a_count_of_what_is_open():
    effects = [0.0, 0.03, 0.06, 0.061, 0.06]
    values = 0.7 + np.array(effects)[:, None, None] + np.random.default_rng(1).normal(0, 0.006, (5, 4, 3))
    values[2:] += np.array([-0.02, 0.0, 0.0, 0.05])[:, None]  # what the third row adds, differs among categories
    said = of_table.headline(table(values, rows=list("abcde")))
    assert [line.split(" (")[0] for line in said.decided] == ["Helps: 'b' over 'a'", "Helps: 'c' over 'b'"]
    assert said.decided[0].endswith("; also on categories like these)")
    assert not said.decided[1].endswith("; also on categories like these)")
    assert said.undecided == "2 of 4 comparisons are open: these data do not decide them."
    assert [line.split(" (")[0] for line in said.open] == ["'d' over 'c'", "'e' over 'd'"]
    [widely] = said.rest
    assert widely.startswith("On categories like these 1 of the 2 verdicts holds too; the others are not settled")
    assert max(map(len, said.lines)) < 200


def test_open_comparisons_say_how_many_seeds_would_settle_them():
    said = headline(steps([0.0, 0.006], n_categories=3, sd=0.004))
    assert "The only comparison is open: these data do not decide it. 'full' over 'more' (" in said
    assert "seeds would decide it if the true effect is as estimated" in said


def test_a_verdict_that_a_repeat_may_not_give_again_is_not_settled():
    line = {"repeat": 0.6, "settle": 7.0, "verdict": "helps", "new_images": True}
    assert repeat(line) == (
        "not settled: a repeat with new seeds would give the same verdict with probability about 0.6; "
        "about 7 seeds would raise it to 0.8"
    )
    never = line | {"settle": np.nan}
    assert repeat(never).endswith("; more than 50 seeds or more test images would raise it to 0.8")
    assert repeat(never | {"new_images": False}).endswith("; more than 50 seeds would raise it to 0.8")
    assert (
        repeat(line | {"repeat": 0.97})
        == "a repeat with new seeds would give the same verdict with probability above 0.95"
    )
    assert repeat(line | {"repeat": np.nan}) == ""


def test_the_headline_says_which_verdict_is_not_settled():
    likely, unlikely = (steps([0.0, 0.03], n_categories=4, n_seeds=2, sd=sd) for sd in (0.008, 0.012))
    for found, settled in ((likely, True), (unlikely, False)):
        [finding] = row_findings(found)
        assert finding.verdict == "helps"
        assert (finding.these["repeat"] >= SETTLED) is settled
        [line] = of_table.headline(found).decided
        assert line.endswith("; not settled)") is not settled


def test_one_seed_and_identical_rows_are_said_to_be_so():
    assert "+3.00 points; one seed per category: train two or more" in headline(table([[[0.7]] * 3, [[0.73]] * 3]))
    same = headline(table(np.full((2, 3, 3), 0.9)))
    assert "Changes nothing beyond 0.5 points: 'full' over 'more' (+0.00 points, +0.00 to +0.00; identical" in same


def test_a_row_that_failed_never_helps_and_its_worst_is_shown():
    found = steps([0.0, 0.03], hole=True)
    [said] = comparisons(found)
    assert "is open" in said
    assert "1 of 30 trainings of 'full' failed; with the category's lowest value in their place: +2." in said
    values = 0.7 + np.random.default_rng(0).normal(0, 0.002, (2, 10, 3))
    values[0, 0, 0], values[1, 1, :2] = np.nan, np.nan
    [both] = comparisons(table(values))
    assert "2 of 30 trainings of 'full' failed; 1 of 30 trainings of 'more' failed; with the category's lowest" in both
    assert "1 cell failed: a row with a failed cell is never said to help" in headline(found)


def test_rows_without_a_cell_in_common_have_nothing_to_say():
    values = np.full((2, 2, 2), 0.9)
    values[1] = np.nan
    assert comparisons(table(values)) == ["'full' against the row above, 'more': no cell has both."]
    assert headline(table(values)).startswith("No two rows have a cell in common: nothing to compare.")


def test_other_metrics_are_exploratory():
    found = steps([0.0, 0.03, 0.03], metrics=(METRIC, "pro"))
    assert comparisons(found)[2].startswith("PRO, exploratory against the row above: 'more' +3.")
    of_pro = found.differences[found.differences["metric"] == "pro"]
    assert of_pro[["low", "high", "p", "repeat"]].isna().all(axis=None)
    assert "PRO" not in headline(found)


FACTORS = {
    "00": {"lfrb": False, "gfrb": False},
    "01": {"lfrb": False, "gfrb": True},
    "10": {"lfrb": True, "gfrb": False},
    "11": {"lfrb": True, "gfrb": True},
}


@pytest.mark.parametrize(
    ("means", "says"),
    [
        (
            [0.70, 0.70, 0.75, 0.85],
            "Reinforce each other, each adding more with the other than without it: lfrb x gfrb (+9.",
        ),
        ([0.70, 0.85, 0.85, 0.86], "Overlap, each adding less with the other than without it: lfrb x gfrb (−14."),
    ],
)
def test_factors_have_their_own_sentences(means, says):
    values = np.array(means)[:, None, None] + np.random.default_rng(0).normal(0, 0.002, (4, 10, 3))
    found = table(values, rows=list(FACTORS), factors=FACTORS, stepwise=False)
    assert says in headline(found)
    sentences = comparisons(found)
    assert [s.split(" ")[0] for s in sentences[:3]] == ["'00'", "'01'", "'10'"]  # "full minus part" is there too
    assert sentences[3].startswith("'lfrb': helps (these categories: +")
    assert sentences[5].startswith("interaction 'lfrb x gfrb': each adds ")


def test_factors_that_add_up_neither_overlap_nor_reinforce_each_other():
    values = np.array([0.7, 0.7, 0.8, 0.8])[:, None, None] + np.random.default_rng(0).normal(0, 0.002, (4, 10, 3))
    said = headline(table(values, rows=list(FACTORS), factors=FACTORS, stepwise=False))
    assert "Helps: lfrb (+10." in said
    assert "Changes nothing beyond 0.5 points: gfrb (" in said
    assert said.endswith("The same holds on categories like these.")
    assert "than without it" not in said


def test_an_effect_over_some_settings_names_them():
    values = np.array([0.7, 0.8, 0.85])[:, None, None] + np.random.default_rng(0).normal(0, 0.002, (3, 10, 3))
    found = table(values, rows=["01", "10", "11"], factors={k: FACTORS[k] for k in ("01", "10", "11")}, stepwise=False)
    said = comparisons(found)
    assert any("'gfrb', over 1 of 2 settings of the other factors (left out: all others off)" in s for s in said)
    assert any(s.startswith("interaction 'lfrb x gfrb'") and "no cell" in s for s in said)
    assert "gfrb, over 1 of 2 settings (+" in headline(found)


def test_findings_are_signed_as_what_is_added():
    [finding] = row_findings(steps([0.0, 0.03], stepwise=False))
    assert finding.verdict == "helps"
    assert finding.these["low"] > 0
    assert finding.these["wins"] == 30
    assert finding.holds_widely
