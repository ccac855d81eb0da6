"""Tables in files, with the units of measure of their columns and their attributes.

CSV can be read by every program. What it cannot hold is next to it in ``<name>.csv-metadata.json``, in the format of the W3C's "CSV on the Web": type and unit of each column,
and a SHA-256 of the CSV, so that two files that do not belong together, or in which a byte was changed, are not read as one table.
Parquet holds everything in one file: the unit of a column is in the metadata of its field, and pandas restores the rest. A check sum of all values is
in the same metadata.
"""

from __future__ import annotations

import csv
import hashlib
import importlib
import io
import json
from collections.abc import Mapping
from contextlib import ExitStack
from os import PathLike, fspath
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd

from ann2neo.arguments import check_flag
from ann2neo.atomic import check_target, complete_or_absent, one_at_a_time
from ann2neo.errors import Ann2NeoError, AnnotationError, FormatError
from ann2neo.extras import require
from ann2neo.files import check_readable, read_content
from ann2neo.integrity import damaged, json_crc32, values_crc32, warn_of_none

SUFFIXES = (".csv", ".parquet")
SIDECAR = "-metadata.json"
# CSV on the Web uses the names of types in XML Schema.
DATATYPES = {"b": "boolean", "i": "integer", "u": "integer", "f": "double"}
PANDAS_ATTRS = b"PANDAS_ATTRS"
PARQUET_CRC32 = b"ann2neo_crc32"
# Names in a namespace of ann2neo, which readers of CSV on the Web ignore.
SHA256, SEAL = "ann2neo:sha256", "ann2neo:crc32"


def write_table(table: pd.DataFrame, path: str | PathLike[str], *, overwrite: bool = False) -> None:
    """Write a table, such as that of `ann2neo.analyze`, with its attributes and units of measure.

    Parameters
    ----------
    table
        Columns of numbers, truth values or strings; the index is not written. ``table.attrs["units"]`` names units of measure by column.
    path
        Name of the file: ``.csv`` or ``.parquet``.
    overwrite
        Whether an existing file may be replaced.

    Raises
    ------
    FormatError
        If the suffix is unknown, the file cannot be written, or Parquet is requested and pyarrow is not installed.
    AnnotationError
        If a column or an attribute holds something that the file cannot keep.
    OutputExists
        If the file exists and may not be replaced.

    See Also
    --------
    ann2neo.read_table, ann2neo.collect

    References
    ----------
    W3C (2015). Metadata Vocabulary for Tabular Data. https://www.w3.org/TR/tabular-metadata/

    Examples
    --------
    >>> from pathlib import Path
    >>> import tempfile, pandas as pd, ann2neo
    >>> table = pd.DataFrame({"isi_mean": [2.5]})
    >>> table.attrs["units"] = {"isi_mean": "ms"}
    >>> path = Path(tempfile.mkdtemp()) / "table.csv"
    >>> write_table(table, path)
    >>> ann2neo.read_table(path).attrs
    {'units': {'isi_mean': 'ms'}}
    """
    path = _path(path)
    _check_suffix(path)
    if not isinstance(table, pd.DataFrame):
        raise FormatError(
            f"an object of type {type(table).__name__} is not a table.",
            "Nothing was written.",
            "Pass the table that `ann2neo.analyze`, `ann2neo.summarize` or `ann2neo.compare` returned; write recordings with `ann2neo.save`.",
        )
    check_flag(overwrite, "overwrite", error=FormatError)
    if not len(table.columns):
        raise FormatError("the table has no columns.", "Nothing was written.", "Pass a table with columns.")
    _check_columns(table)
    attrs = _json_of(table.attrs)
    if path.suffix == ".parquet":
        _write_parquet(table, attrs, path, overwrite)
    else:
        _write_csv(table, path, overwrite)


def read_table(path: str | PathLike[str]) -> pd.DataFrame:
    """Read a table that `write_table` wrote, with the same values, types, order of columns and attributes.

    Parameters
    ----------
    path
        Name of the file.

    Raises
    ------
    FormatError
        If the file, or the metadata file of a CSV, is missing or damaged, or if the suffix is unknown.

    See Also
    --------
    ann2neo.write_table, ann2neo.collect
    """
    path = _path(path)
    _check_suffix(path)
    check_readable(path)
    try:
        return _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)
    except Ann2NeoError:
        raise
    # pandas and pyarrow raise many kinds of exception on damaged files; all mean the same.
    except Exception as error:
        raise FormatError(
            f"{path} cannot be read as a table of ann2neo ({type(error).__name__}: {str(error)[:200]}).",
            "It, or its metadata file, was written by another program, or is damaged.",
            "Read it with pandas, or write it again.",
        ) from error


def sidecar(path: Path) -> Path:
    """Return the path of the metadata file that describes the columns of a CSV file.

    Examples
    --------
    >>> sidecar(Path("table.csv")).name
    'table.csv-metadata.json'
    """
    return path.with_name(path.name + SIDECAR)


def is_ours(path: Path) -> bool:
    """Return whether `write_table` wrote a file, so that another .csv with spike times is not read as a table."""
    if path.suffix == ".parquet":
        return path.is_file()
    return path.is_file() and sidecar(path).is_file() and _is_description(sidecar(path))


def _write_csv(table: pd.DataFrame, path: Path, overwrite: bool) -> None:
    beside = sidecar(path)
    # Both files get their names before another call may name one.
    with ExitStack() as held, complete_or_absent(path, overwrite=overwrite) as part:
        table.to_csv(
            part, index=False, na_rep="NaN", encoding="utf-8", lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC
        )
        described = _csvw(table, path.name) | {SHA256: hashlib.sha256(part.read_bytes()).hexdigest()}
        text = json.dumps(described | {SEAL: json_crc32(described)}, indent=1, ensure_ascii=False)
        held.enter_context(one_at_a_time(path.parent))
        check_target(path, overwrite)
        # A call that was killed between the two writes may have left a description without its CSV.
        alone = beside.exists() and not path.exists() and _is_description(beside)
        with complete_or_absent(beside, overwrite=overwrite or alone) as part_beside:
            # Half of a surrogate pair, as in file names that are not UTF-8, is written as its code, which JSON reads back.
            part_beside.write_text(text, encoding="utf-8", errors="backslashreplace")


def _is_description(path: Path) -> bool:
    """Return whether ann2neo wrote a metadata file that has no CSV."""
    try:
        return "tableSchema" in json.loads(read_content(path))
    except (OSError, ValueError, TypeError, RecursionError):
        return False


def _csvw(table: pd.DataFrame, name: str) -> dict[str, Any]:
    units = table.attrs.get("units", {})
    columns = []
    for column, dtype in table.dtypes.items():
        datatype = DATATYPES.get(getattr(dtype, "kind", "O"), "string")
        unit = {"schema:unitText": units[column]} if column in units else {}
        columns.append({"name": column, "titles": column, "datatype": datatype, "dc:format": str(dtype)} | unit)
    return {
        "@context": "http://www.w3.org/ns/csvw",
        "url": name,
        "tableSchema": {"columns": columns},
        "notes": [{"attrs": table.attrs}],
    }


def _read_csv(path: Path) -> pd.DataFrame:
    if not sidecar(path).exists():
        raise FormatError(
            f"{path} lacks its description, {sidecar(path).name}.",
            "Types and units of measure of its columns, and whether it was changed, are unknown: nothing was read.",
            "Copy or rename the two files together; or read the CSV with pandas.",
        )
    content, described = read_content(path), json.loads(read_content(sidecar(path)))
    _check_csv(content, described, path)
    dtypes = {column["name"]: column["dc:format"] for column in described["tableSchema"]["columns"]}
    # Read as text first, so that types are not guessed: a string "1" or "NaN" stays a string, and numbers keep their last bit.
    table = pd.read_csv(io.BytesIO(content), dtype=str, na_filter=False, encoding="utf-8")
    if list(table.columns) != list(dtypes):
        raise ValueError(f"its columns are {list(table.columns)}")
    table = pd.DataFrame({name: _typed(table[name], dtype) for name, dtype in dtypes.items()})
    table.attrs = described["notes"][0]["attrs"]
    return table


def _check_csv(content: bytes, described: dict[str, Any], path: Path) -> None:
    """Check that a CSV is the one that was described, and that the description is unchanged."""
    if SEAL not in described and SHA256 not in described:
        warn_of_none(path)
        return
    plain = {key: value for key, value in described.items() if key != SEAL}
    if described.get(SEAL) != json_crc32(plain):
        raise damaged(sidecar(path), ["its own check sum differs"])
    if described.get(SHA256) != hashlib.sha256(content).hexdigest():
        raise damaged(path, [f"it is not the table that {sidecar(path).name} describes"])


def _typed(column: pd.Series, dtype: str) -> pd.Series:
    if dtype == "bool":
        return column == "True"
    if dtype.startswith(("int", "uint", "float")):
        return pd.Series(np.array(column.tolist(), dtype=object).astype(dtype), dtype=dtype)
    return column.astype(dtype)  # type: ignore[call-overload]


def _write_parquet(table: pd.DataFrame, attrs: str, path: Path, overwrite: bool) -> None:
    arrow, parquet = _pyarrow("pyarrow"), _pyarrow("pyarrow.parquet")
    try:
        content = arrow.Table.from_pandas(table.reset_index(drop=True), preserve_index=False)
    except (arrow.ArrowException, NotImplementedError) as error:
        raise AnnotationError(
            f"Parquet cannot hold the table ({' '.join(str(error).split())[:120]}).",
            "Nothing was written.",
            "Write a .csv, or convert the column, for instance to float64.",
        ) from error
    units: Mapping[str, str] = table.attrs.get("units", {})
    fields = [f.with_metadata({"unit": units[f.name]}) if f.name in units else f for f in content.schema]
    known = {**(content.schema.metadata or {}), PANDAS_ATTRS: attrs.encode()}
    known[PARQUET_CRC32] = str(_table_crc32(table)).encode()
    with complete_or_absent(path, overwrite=overwrite) as part:
        parquet.write_table(content.cast(arrow.schema(fields)).replace_schema_metadata(known), part)


def _read_parquet(path: Path) -> pd.DataFrame:
    content = _pyarrow("pyarrow.parquet").read_table(path)
    table = content.to_pandas()
    known = content.schema.metadata or {}
    table.attrs = json.loads(known.get(PANDAS_ATTRS, b"{}"))
    of_fields = {
        field.name: field.metadata[b"unit"].decode() for field in content.schema if b"unit" in (field.metadata or {})
    }
    # pandas keeps the attributes when it writes a table again, but neither units of fields nor the check sum.
    if of_fields != {name: unit for name, unit in table.attrs.get("units", {}).items() if name in table}:
        raise damaged(path, ["the units of its columns are not those in its attributes"])
    if PARQUET_CRC32 not in known:
        warn_of_none(path)
    elif known[PARQUET_CRC32] != str(_table_crc32(table)).encode():
        raise damaged(path, ["its values do not have the check sum that is stored with them"])
    return table


def _table_crc32(table: pd.DataFrame) -> int:
    """Compute the CRC-32 of names, types, values and attributes."""
    columns = {str(name): [str(table[name].dtype), values_crc32(_one_nan(table[name]))] for name in table.columns}
    return json_crc32([list(columns), columns, table.attrs])


def _one_nan(column: pd.Series) -> pd.Series:
    """Return the column with the same bits in every NaN: of 0 / 0 they have a sign, which Parquet does not keep."""
    return column.where(column.notna(), np.nan) if column.dtype.kind == "f" else column


def _pyarrow(name: str) -> ModuleType:
    require("pyarrow", to="A .parquet table, unlike .csv,")
    return importlib.import_module(name)


def _path(given: Any) -> Path:
    if not isinstance(given, str | PathLike):
        raise FormatError(
            f"an object of type {type(given).__name__} is not a name of a file.",
            "Nothing was read or written.",
            'Pass a name such as "table.csv"; a table comes first: write_table(table, "table.csv").',
        )
    if "\0" in fspath(given):
        raise FormatError("the name holds a null character.", "A file cannot have this name.", "Use another name.")
    return Path(given)


def _check_suffix(path: Path) -> None:
    if path.suffix not in SUFFIXES:
        raise FormatError(
            f"{path.name!r} has the suffix {path.suffix!r}.",
            "The suffix selects the format of a table.",
            f"Use one of {', '.join(SUFFIXES)}.",
        )


def _check_columns(table: pd.DataFrame) -> None:
    if not table.columns.is_unique or not all(isinstance(name, str) and name for name in table.columns):
        raise AnnotationError(
            f"the columns of the table are called {list(table.columns)}.",
            "A file cannot distinguish them.",
            "Give each column a unique name that is a string.",
        )
    for name, column in table.items():
        values = column.to_numpy()
        texts = [] if values.dtype.kind in "biuf" else values.tolist()
        broken = [text for text in (name, *texts) if isinstance(text, str) and _is_broken(text)]
        if broken:
            raise AnnotationError(
                f"column {name!r} holds half of a surrogate pair: {broken[0]!r}.",
                "Tables are written in UTF-8, which cannot hold it.",
                "Use another text.",
            )
        if values.dtype.kind not in "biuf" and not all(isinstance(value, str) for value in values.tolist()):
            raise AnnotationError(
                f"column {name!r} holds neither numbers nor truth values nor strings only.",
                "A file would lose or change it.",
                "Use a number in every row, or a string in every row.",
            )


def _is_broken(text: str) -> bool:
    """Return whether a text cannot be written in UTF-8."""
    return not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text)


def _json_of(attrs: Mapping[Any, Any]) -> str:
    try:
        text = json.dumps(attrs)
        same = json.loads(text) == attrs
    except (TypeError, ValueError):
        text, same = "", False
    if not same:
        known = ", ".join(f"{key!r}: {type(value).__name__}" for key, value in attrs.items())
        raise AnnotationError(
            f"the attributes of the table ({known}) cannot be kept as JSON.",
            "They would be lost or changed.",
            "Use numbers, strings, truth values, and lists and dictionaries of these; no NaN.",
        )
    return text
