"""Read what people answered: the rows of a CSV file that somebody's form or spreadsheet wrote."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from greenroom.errors import BadInput


def read_answers(
    data: bytes, where: str, columns: Sequence[str], optional: Sequence[str] = ()
) -> Iterator[tuple[str, dict[str, str]]]:
    r"""Yield (file and line, column → text) of each row; other columns are passed over.

    Args:
        data: UTF-8 with a header, commas or semicolons.
        where: the file's name, for messages.
        columns: must be there, and no cell of them may be empty.
        optional: may be left out; an empty text stands for what is.

    Raises:
        BadInput: it is no such file, a column is missing, or a cell is empty.

    >>> list(read_answers(b"Rater;rating\nA; 5\n", "r.csv", ("rater", "rating")))
    [('r.csv, line 2', {'rater': 'A', 'rating': '5'})]
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput("this is not UTF-8", where=where) from None
    head = text.split("\n", 1)[0]
    delimiter = ";" if head.count(";") > head.count(",") else ","
    reader = csv.DictReader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True)
    try:
        names = [str(name).strip().lower() for name in reader.fieldnames or ()]
        missing = [column for column in columns if column not in names]
        if missing:
            raise BadInput(
                f"there is no column {', '.join(missing)}",
                where=where,
                then=f"give {','.join(columns)}",
            )
        reader.fieldnames = names
        for row in reader:
            location = f"{where}, line {reader.line_num}"
            cells = {column: str(row.get(column) or "").strip() for column in (*columns, *optional)}
            empty = [column for column in columns if not cells[column]]
            if empty:
                raise BadInput(f"{', '.join(empty)} is empty", where=location)
            yield location, cells
    except csv.Error as error:
        raise BadInput(f"{error}", where=f"{where}, line {reader.line_num}") from None
