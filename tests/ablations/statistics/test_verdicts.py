"""What comparisons come to, from lines whose figures are known."""

import pandas as pd

from dlkd.ablations.statistics.verdicts import effect_verdicts, row_verdicts

NAN = float("nan")


def lines(*of, against="full"):
    columns = ["row", "other", "metric", "difference", "p_holm", "against", "alpha"]
    return pd.DataFrame([(*line, against, 0.05) for line in of], columns=columns)


def test_a_row_that_lacks_a_part_and_is_worse_makes_the_part_a_gain():
    table = lines(("part", "full", "auroc", -0.02, 0.01), ("part", "full", "pro", 0.01, 0.04))
    [verdict] = row_verdicts(table)
    assert (verdict.kind, verdict.added, verdict.over) == ("row", "full", "part")
    assert [line["gain"] for line in verdict.gains] == [0.02]
    assert [line["gain"] for line in verdict.harms] == [-0.01]
    assert not verdict.is_open


def test_a_pair_asked_for_both_ways_round_is_one_verdict():
    step, rest = lines(("b", "a", "auroc", 0.02, 0.2), against="above"), lines(("a", "b", "auroc", -0.02, 0.2))
    [verdict] = row_verdicts(pd.concat([step, rest]))
    assert (verdict.added, verdict.over, len(verdict.lines)) == ("b", "a", 1)
    assert verdict.is_open


def test_what_has_no_figures_is_not_open():
    assert not row_verdicts(lines(("a", "b", "auroc", NAN, NAN)))[0].is_open


def test_an_untrained_row_makes_training_the_part_that_is_added():
    [verdict] = row_verdicts(lines(("nothing", "full", "auroc", -0.3, 0.01)), untrained={"nothing"})
    assert (verdict.kind, verdict.added, verdict.over) == ("training", "full", "")


def test_effects_are_sorted_by_kind():
    columns = ["effect", "kind", "metric", "estimate", "p_holm", "alpha"]
    effects = pd.DataFrame(
        [("a", "main", "auroc", 0.1, 0.01, 0.05), ("a x b", "interaction", "auroc", -0.1, 0.01, 0.05)], columns=columns
    )
    [main], [interaction] = effect_verdicts(effects, "main"), effect_verdicts(effects, "interaction")
    assert (main.added, len(main.gains)) == ("a", 1)
    assert (interaction.added, len(interaction.harms)) == ("a x b", 1)
