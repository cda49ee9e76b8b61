from __future__ import annotations

from pathlib import Path

import pytest

from dlkd.data import DataError, VisA, read_mask


def test_the_split_file_rules(visa_tree: Path) -> None:
    category = VisA(visa_tree).load("candle")
    assert [s.image.name for s in category.train] == ["0000.JPG", "0001.JPG", "0002.JPG"]
    assert [(s.image.name, s.defect) for s in category.test] == [
        *(("0003.JPG", "good"), ("0004.JPG", "good"), ("000.JPG", "anomaly"), ("001.JPG", "anomaly")),
    ]
    assert all(read_mask(s.mask).any() for s in category.anomalies)  # their masks hold 1, which looks black


def test_every_problem_is_in_one_error(visa_tree: Path, write) -> None:
    data = visa_tree / "candle/Data"
    (data / "Images/Normal/0001.JPG").unlink()
    (data / "Masks/Anomaly/001.png").unlink()
    orphan = write(data / "Masks/Anomaly/099.png", mask=True)
    split = visa_tree / "split_csv/1cls.csv"
    image = write(data / "Images/Anomaly/005.JPG")
    rows = split.read_text() + "candle,train,anomaly,candle/x.JPG,\n"
    split.write_text(rows + "candle,test,anomaly,candle/Data/Images/Anomaly/005.JPG,\n")
    with pytest.raises(DataError) as caught:
        VisA(visa_tree).load("candle")
    assert sorted(caught.value.problems) == sorted(
        [
            f"{data / 'Images/Normal/0001.JPG'}: no such file, though the split file has it",
            f"{data / 'Masks/Anomaly/001.png'}: no such file, though the split file has it",
            "candle/x.JPG: label 'anomaly' in split 'train'",
            f"{image}: anomalous image without its mask",
            f"{orphan}: mask without its image",
        ]
    )
    VisA(visa_tree).load("pcb1")  # the other object is whole


def test_an_object_without_training_rows(visa_tree: Path) -> None:
    split = visa_tree / "split_csv/1cls.csv"
    split.write_text(split.read_text().replace("candle,train", "candle,test"))
    with pytest.raises(DataError, match="looked for rows 'candle,train,normal"):
        VisA(visa_tree).load("candle")


def test_a_split_file_with_other_columns(visa_tree: Path) -> None:
    (visa_tree / "split_csv/1cls.csv").write_text("image,label\na,b\n")
    with pytest.raises(DataError, match=r"looked for columns object, split, .* found \['image', 'label'\]"):
        VisA(visa_tree).categories()


@pytest.mark.parametrize("name", ["../secret.png", "candle/../../secret.png", "/secret.png", "..\\secret.png"])
def test_a_split_file_never_leads_out_of_its_folder(visa_tree: Path, name: str, write) -> None:
    write(visa_tree.parent / "secret.png")
    split = visa_tree / "split_csv/1cls.csv"
    whole = split.read_text()
    split.write_text(whole + f"candle,train,normal,{name},\n")
    with pytest.raises(DataError, match=r"secret\.png: leads out of "):
        VisA(visa_tree).load("candle")
    split.write_text(whole + "../candle,train,normal,candle/x.JPG,\n")
    with pytest.raises(DataError, match=r"the object '\.\./candle' is no name of a folder"):
        VisA(visa_tree).categories()
