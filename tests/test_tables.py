"""Tables in files."""

import importlib.util
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal
from strategies import TEXT, small_recording

import ann2neo
from ann2neo.errors import AnnotationError, FormatError, OutputExists
from ann2neo.tables import read_table, sidecar, write_table

needs_pyarrow = pytest.mark.skipif(importlib.util.find_spec("pyarrow") is None, reason="pyarrow is not installed")
FILES = ["a.csv", pytest.param("a.parquet", marks=needs_pyarrow)]
COLUMN_NAMES = st.sampled_from(["layer", "unit", "isi mean", "größe", "a,b", 'quo"te', "NaN"])
VALUES = {
    "float64": st.floats(allow_nan=True),
    "float32": st.floats(width=32),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "uint8": st.integers(0, 255),
    "bool": st.booleans(),
    "str": TEXT
    | st.sampled_from(["NaN", "nan", "NA", "", "1", "true", "a,b", "line\nbreak", "carriage\rreturn", ' "x" ']),
}


@st.composite
def tables(draw):
    """A table of a few columns of any type, with attributes and units of measure."""
    names = draw(st.lists(COLUMN_NAMES, min_size=1, max_size=4, unique=True))
    n_rows = draw(st.integers(0, 5))
    dtypes = [draw(st.sampled_from(sorted(VALUES))) for _ in names]
    columns = {
        name: pd.Series(draw(st.lists(VALUES[dtype], min_size=n_rows, max_size=n_rows)), dtype=dtype)
        for name, dtype in zip(names, dtypes)
    }
    table = pd.DataFrame(columns)
    table.attrs = {"units": {names[0]: "ms²"}, "order": draw(TEXT), "n": draw(st.integers()), "list": [1, 2.5, None]}
    return table


@pytest.mark.parametrize("name", FILES)
def test_what_is_written_is_read(name, tmp_path_factory):
    """Values, types, order of columns and attributes come back exactly, NaN and odd strings too."""

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(tables())
    def holds(table):
        path = tmp_path_factory.mktemp("tables") / name
        write_table(table, path)
        back = read_table(path)
        assert_frame_equal(back, table, check_exact=True)
        assert back.attrs == table.attrs

    holds()


@pytest.mark.parametrize("name", FILES)
def test_the_table_of_an_analysis_comes_back(name, tmp_path):
    """The real table: all columns, all attributes."""
    table = ann2neo.analyze(small_recording(), progress=False)
    write_table(table, tmp_path / name)
    back = read_table(tmp_path / name)
    assert_frame_equal(back, table, check_exact=True)
    assert back.attrs == table.attrs
    assert back.attrs["units"]["isi_mean"] == "ms"


def test_csv_says_units_as_the_w3c_has_it(tmp_path):
    """Beside the CSV lies its description, found by its name, with type and unit of each column."""
    table = pd.DataFrame({"layer": ["a"], "isi_mean": [1.5], "n": [3], "good": [True]})
    table.attrs["units"] = {"isi_mean": "ms"}
    write_table(table, tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text() == '"layer","isi_mean","n","good"\n"a",1.5,3,True\n'
    described = json.loads((tmp_path / "t.csv-metadata.json").read_text())
    assert (described["@context"], described["url"]) == ("http://www.w3.org/ns/csvw", "t.csv")
    columns = described["tableSchema"]["columns"]
    assert [column["datatype"] for column in columns] == ["string", "double", "integer", "boolean"]
    assert [column.get("schema:unitText") for column in columns] == [None, "ms", None, None]


@needs_pyarrow
def test_parquet_says_units_in_its_fields(tmp_path):
    """Who reads with Arrow finds the unit in the field, who reads with pandas the attributes."""
    import pyarrow.parquet

    table = pd.DataFrame({"layer": ["a"], "isi_mean": [1.5]})
    table.attrs["units"] = {"isi_mean": "ms"}
    write_table(table, tmp_path / "t.parquet")
    schema = pyarrow.parquet.read_schema(tmp_path / "t.parquet")
    assert schema.field("isi_mean").metadata[b"unit"] == b"ms"
    assert pd.read_parquet(tmp_path / "t.parquet").attrs == table.attrs


@pytest.mark.parametrize(
    ("table", "attrs"),
    [
        (pd.DataFrame({"a": [1, "x"]}), {}),
        (pd.DataFrame({"a": [None, "x"]}, dtype=object), {}),
        (pd.DataFrame({"a": pd.to_datetime(["2024-01-01"])}), {}),
        (pd.DataFrame({0: [1]}), {}),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), {}),
        (pd.DataFrame({"a": [1]}), {"x": np.arange(2)}),
        (pd.DataFrame({"a": [1]}), {1: "x"}),
        (pd.DataFrame({"a": [1]}), {"x": float("nan")}),
        (pd.DataFrame({"a": [1]}), {"x": (1, 2)}),
    ],
    ids=["mixed", "missing", "dates", "number", "twice", "array", "key", "nan", "tuple"],
)
def test_what_would_be_lost_is_refused(table, attrs, tmp_path):
    """What a file cannot give back ends in an error and in no file."""
    table.attrs = attrs
    with pytest.raises(AnnotationError):
        write_table(table, tmp_path / "t.csv")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", FILES)
def test_a_nan_of_any_bits_is_nan(name, tmp_path):
    """0 / 0 has a sign, which Parquet does not keep; that is not damage."""
    for bits in (0xFFF8000000000000, 0x7FF8000000000001, 0x7FF8000000000000):
        table = pd.DataFrame({"x": np.array([bits], np.uint64).view(np.float64).repeat(2)})
        table["y"] = table["x"].astype(np.float32)
        write_table(table, tmp_path / name, overwrite=True)
        assert_frame_equal(read_table(tmp_path / name), table, check_exact=True)


@needs_pyarrow
def test_what_others_made_of_a_parquet_table_is_noticed(tmp_path):
    """Other values, rows or names than those that were written are refused; another compression is the same table."""
    from pyarrow import parquet

    path, table = tmp_path / "a.parquet", pd.DataFrame({"unit": [0, 1, 2], "isi": [0.5, np.nan, 1.0]})
    table.attrs = {"units": {"isi": "ms"}, "order": "presented"}
    write_table(table, path)
    written = parquet.read_table(path)
    parquet.write_table(written, path, compression="gzip")
    assert_frame_equal(read_table(path), table)
    attrs = {**written.schema.metadata, b"PANDAS_ATTRS": b'{"units": {"isi": "ms"}, "order": "shuffled"}'}
    in_seconds = written.schema.field("isi").with_metadata({"unit": "s"})
    for changed in (
        written.slice(1),
        written.take([1, 0, 2]),
        written.select(["isi", "unit"]),
        written.rename_columns(["unit", "cv"]),
        written.set_column(0, "unit", [[0, 1, 3]]),
        written.set_column(1, in_seconds, written["isi"]),
        written.replace_schema_metadata(attrs),
        pd.read_parquet(path).assign(unit=7),
    ):
        parquet.write_table(changed, path) if not isinstance(changed, pd.DataFrame) else changed.to_parquet(path)
        with pytest.raises(FormatError, match="damaged, or was changed"):
            read_table(path)


@needs_pyarrow
def test_numbers_that_parquet_does_not_know_are_refused(tmp_path):
    with pytest.raises(AnnotationError, match="Parquet cannot hold the table"):
        write_table(pd.DataFrame({"x": np.ones(2, np.longdouble)}), tmp_path / "a.parquet")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("overwrite", [True, False])
def test_two_calls_that_write_one_name_leave_the_table_of_one(overwrite, tmp_path):
    """A CSV never gets the description of another; without `overwrite` one of two calls is refused."""
    tables = [pd.DataFrame({"x": np.random.default_rng(seed).random(50)}) for seed in (0, 1)]
    both = threading.Barrier(2)

    def write(table, path):
        both.wait()
        try:
            write_table(table, path, overwrite=overwrite)
        except OutputExists:
            return 0
        return 1

    with ThreadPoolExecutor(2) as threads:
        for number in range(40):
            path = tmp_path / f"{number}.csv"
            done = list(threads.map(write, tables, [path, path]))
            assert sum(done) == (2 if overwrite else 1)
            found = read_table(path)["x"].tolist()
            assert found in [table["x"].tolist() for table, was in zip(tables, done) if was]


def test_files_that_are_not_ours(tmp_path):
    """A missing file, a CSV without its description, other columns, and an unknown suffix are clear errors; nothing is overwritten unasked."""
    with pytest.raises(FormatError, match="there is no file"):
        read_table(tmp_path / "t.csv")
    with pytest.raises(FormatError, match=r"\.csv, \.parquet"):
        write_table(pd.DataFrame({"a": [1]}), tmp_path / "t.xlsx")
    write_table(pd.DataFrame({"a": [1]}), tmp_path / "t.csv")
    with pytest.raises(OutputExists):
        write_table(pd.DataFrame({"a": [1]}), tmp_path / "t.csv")
    write_table(pd.DataFrame({"a": [2]}), tmp_path / "t.csv", overwrite=True)
    assert read_table(tmp_path / "t.csv")["a"].tolist() == [2]
    (tmp_path / "t.csv").write_text("b\n1\n")
    with pytest.raises(FormatError, match="not the table that"):
        read_table(tmp_path / "t.csv")
    sidecar(tmp_path / "t.csv").unlink()
    with pytest.raises(FormatError, match="lacks its description"):
        read_table(tmp_path / "t.csv")


def test_texts_that_are_no_utf8(tmp_path):
    """A file may have such a name and attributes such texts, which come back; columns are refused."""
    table = pd.DataFrame({"layer": ["größe"], "n": [1]})
    table.attrs["file"] = "a\udcff.mat"
    path = tmp_path / "t\udcff.csv"
    ann2neo.write_table(table, path)
    read = ann2neo.read_table(path)
    pd.testing.assert_frame_equal(read, table)
    assert read.attrs == table.attrs
    # pandas itself refuses them where pyarrow is installed, unless they are objects.
    name = pd.Index(["a\ud800"], dtype=object)
    for broken in (pd.DataFrame({"layer": ["a\udcff"]}, dtype=object), pd.DataFrame([[1]], columns=name)):
        with pytest.raises(AnnotationError, match="half of a surrogate pair"):
            ann2neo.write_table(broken, tmp_path / "b.csv")
