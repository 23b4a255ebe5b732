from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from recsys_tfrs.data.assemble import Policy
from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.data.tables import Columns, load_table
from recsys_tfrs.errors import DataError, RecsysError, UsageError
from recsys_tfrs.schema import Kind

GOOD = "user_id,item_id,rating,timestamp\nu1,a,1,10\nu2,b,2,20\nu1,b,3,30\n"


def load(path: Path, text: str | bytes, columns: dict[str, str] | None = None, **tables: Path) -> Interactions:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_table(path, columns or {}, Policy(), **tables)


def check_good(data: Interactions) -> None:
    assert data.user_ids[data.users].tolist() == ["u1", "u2", "u1"]
    assert data.item_ids[data.items].tolist() == ["a", "b", "b"]
    assert data.ratings is not None
    assert data.ratings.tolist() == [1, 2, 3]
    assert data.timestamps is not None
    assert data.timestamps.tolist() == [10, 20, 30]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("my.csv", GOOD.encode()),
        ("my.csv", b"\xef\xbb\xbf" + GOOD.encode()),
        ("my.csv", GOOD.replace("\n", "\r\n").encode()),
        ("my.csv", GOOD.replace(",", ";").encode()),
        ("my.txt", GOOD.replace(",", "|").encode()),
        ("my.tsv", GOOD.replace(",", "\t").encode()),
        ("my.csv.gz", gzip.compress(GOOD.encode(), mtime=0)),
        ("my.csv", GOOD.replace("user_id,", '"user_id", ').encode()),
        ("my.csv", GOOD.rstrip("\n").encode()),
    ],
)
def test_text_tables_in_their_many_dialects(tmp_path: Path, name: str, content: bytes) -> None:
    data = load(tmp_path / name, content)
    assert data.name == "my"
    check_good(data)


@pytest.mark.parametrize(
    ("header", "guess"),
    [
        ("userId,movieId,rating,timestamp", "user=userId, item=movieId, rating=rating, timestamp=timestamp"),
        ("Product ID,Customer,Score,Date", "user=Customer, item=Product ID, rating=Score, timestamp=Date"),
        ("id,user,x,ts", "user=user, item=id, rating=(none), timestamp=ts"),
    ],
)
def test_usual_column_names_are_guessed_and_said(tmp_path: Path, header: str, guess: str) -> None:
    data = load(tmp_path / "my.csv", f"{header}\nu,v,1,2\nw,x,3,4\n")
    assert data.notes == (f"Columns of my.csv guessed from their names: {guess} (say otherwise with --columns).",)


def test_named_columns_are_used_without_a_note(tmp_path: Path) -> None:
    text = "rating,who,what,how,when\n9,u1,a,1,10\n9,u2,b,2,20\n9,u1,b,3,30\n"
    data = load(tmp_path / "my.csv", text, {"user": "who", "item": "what", "rating": "how", "timestamp": "when"})
    check_good(data)
    assert data.notes == ()


def test_a_role_can_be_switched_off(tmp_path: Path) -> None:
    data = load(tmp_path / "my.csv", GOOD, {"rating": "", "timestamp": ""})
    assert (data.ratings, data.timestamps) == (None, None)


def test_iso_dates(tmp_path: Path) -> None:
    text = "user,item,date\nu1,a,1970-01-02\nu2,b,1970-01-02 00:00:05\n"
    data = load(tmp_path / "my.csv", text)
    assert data.timestamps is not None
    assert data.timestamps.tolist() == [86_400, 86_405]


@pytest.mark.parametrize(
    ("name", "text", "columns", "error", "message"),
    [
        ("a.csv", "", {}, DataError, "is empty: expected a first line with the names"),
        ("a.csv", "\n\n", {}, DataError, "is empty"),
        (
            "a.csv",
            "\n" + GOOD,
            {},
            DataError,
            "first line is blank: expected the names of the columns.*remove what stands",
        ),
        ("a.csv", " \r\n" + GOOD, {}, DataError, "first line is blank"),
        ("a.csv", "user\n", {}, DataError, "expected a header with at least a user and an item column"),
        ("a.csv", "user,item\n", {}, DataError, "holds no interactions"),
        ("a.csv", "1,2,3\n4,5,6\n", {}, DataError, "looks like data"),
        ("a.csv", "a,b\n1,2\n", {}, DataError, "no column that is clearly the user; it has a, b.*--columns user=NAME"),
        ("a.csv", GOOD, {"item": "sku"}, DataError, "no column 'sku' for the item; it has user_id, item_id, rating"),
        ("a.csv", "user,user\n1,2\n", {}, DataError, "names in its header must differ"),
        ("a.tsv", GOOD, {}, DataError, "separated by a tab, after its name.*separated by a comma.*call the file .csv"),
        ("a.csv", GOOD.replace(",", "::"), {}, DataError, "one column 'user_id::item_id::rating::timestamp'"),
        ("a.csv", GOOD.replace("u2,", "u2;"), {}, DataError, "line 3: expected 4 fields separated by ',', found 3"),
        ("a.csv", GOOD.replace(",2,", ",NaN,"), {}, DataError, r"a\.csv, line 3: the rating 'NaN' is not a finite"),
        ("a.csv", GOOD, {"user": "item_id"}, UsageError, "cannot play two roles"),
        ("a.csv", GOOD, {"price": "cheap"}, UsageError, "--columns price=cheap is not understood.*numeric"),
        ("a.csv", GOOD, {"price": "numeric"}, UsageError, "declares price, which neither .*a.csv nor an --items"),
        ("a.csv", GOOD, {"user": ""}, UsageError, "every interaction needs a user"),
        ("a.json", "{}", {}, UsageError, r"expected \.csv, \.tsv"),
    ],
)
def test_what_cannot_be_read_says_what_to_do(
    tmp_path: Path, name: str, text: str, columns: dict[str, str], error: type[RecsysError], message: str
) -> None:
    with pytest.raises(error, match=message):
        load(tmp_path / name, text, columns)


def test_a_truncated_gzip_file_is_a_data_error(tmp_path: Path) -> None:
    content = gzip.compress((GOOD + "u3,c,1,2\n" * 500).encode())
    with pytest.raises(DataError, match="damaged or truncated"):
        load(tmp_path / "my.csv.gz", content[:-20])


def test_binary_files_are_no_tables(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a UTF-8 text file"):
        load(tmp_path / "my.csv", b"PAR1\xff\xfe\x00")


def test_a_gzip_file_by_another_name_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"my\.csv is a gzip file: let its name end in \.gz \(my\.csv\.gz\)"):
        load(tmp_path / "my.csv", gzip.compress(GOOD.encode(), mtime=0))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv does not exist"):
        load_table(tmp_path / "none.csv", {}, Policy())


def test_item_and_user_tables(tmp_path: Path) -> None:
    items, users = tmp_path / "items.csv", tmp_path / "users.tsv"
    items.write_text('item_id,title,code,tags\nb,"Bee, the",007,x|y\ncold,Cold,008,\n')
    users.write_text("user\tage\nu2\t41\nu9\t\n")
    data = load(tmp_path / "my.csv", GOOD, {"code": "categorical"}, items=items, users=users)
    assert data.item_ids.tolist() == ["", "a", "b", "cold"]
    assert data.titles.tolist() == ["", "a", "Bee, the", "Cold"]
    assert data.item_features["code"].values.tolist() == ["", "", "007", "008"]
    assert data.item_features["tags"].values.tolist() == [(), (), ("x", "y"), ()]
    assert data.user_ids.tolist() == ["", "u1", "u2", "u9"]
    assert data.user_features["age"].values.tolist()[2] == 41
    assert any("title=text, tags=multi_categorical" in note for note in data.notes)
    assert not any("code=" in note for note in data.notes)


def test_the_interactions_id_name_holds_for_the_tables_that_have_it(tmp_path: Path) -> None:
    items = tmp_path / "items.csv"
    text = "who,what\nu1,a\nu2,b\n"
    items.write_text("item_id,what,p\n9,a,1\n8,b,2\n")
    data = load(tmp_path / "my.csv", text, {"user": "who", "item": "what"}, items=items)
    assert data.item_features["p"].values.tolist()[1:] == [1, 2]
    items.write_text("item_id,p\na,1\nb,2\n")
    data = load(tmp_path / "my.csv", text, {"user": "who", "item": "what"}, items=items)
    assert data.item_features["p"].values.tolist()[1:] == [1, 2]


def test_a_table_whose_column_of_ids_cannot_be_told_says_what_helps(tmp_path: Path) -> None:
    items = tmp_path / "items.csv"
    items.write_text("code,title\na,A\nb,B\n")
    with pytest.raises(
        DataError, match=r"items\.csv has no column that is clearly the item.*call its column of ids item_id"
    ):
        load(tmp_path / "my.csv", GOOD, items=items)
    items.write_text("item_id,title\na,A\nb,B\n")
    assert load(tmp_path / "my.csv", GOOD, items=items).titles.tolist() == ["", "A", "B"]
    items.write_text("id,code,title\n1,a,A\n2,b,B\n")
    with pytest.raises(
        DataError, match=r"No id of the item table occurs.*'1'.*Call the table's column of those ids item_id"
    ):
        load(tmp_path / "my.csv", GOOD, items=items)
    items.write_text("id,item_id,title\n1,a,A\n2,b,B\n")
    assert load(tmp_path / "my.csv", GOOD, items=items).num_items == 2


def test_columns_tell_roles_from_kinds() -> None:
    columns = Columns.parse({"user": "uid", "brand": "categorical", "rating": ""})
    assert columns.roles == {"user": "uid", "rating": ""}
    assert columns.kinds == {"brand": Kind.CATEGORICAL}
