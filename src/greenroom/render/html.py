"""Render an HTML report from a Jinja2 template, as one file that needs nothing else."""

from __future__ import annotations

from functools import cache
from typing import Any

import jinja2


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("greenroom.render"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = format_number
    return environment


def format_number(value: float | None, form: str = ".3f") -> str:
    """Return a number as a report shows it; a dash where there is none.

    >>> format_number(0.25), format_number(-0.25, "+.2f"), format_number(None)
    ('0.250', '-0.25', '–')
    """
    return "–" if value is None else format(value, form)


def render_html(template: str, **values: Any) -> str:
    """Return a template of `greenroom/render/templates`, filled; every value is escaped.

    Args:
        template: file name, such as "control_charts.html".
        values: what the template names.

    Raises:
        jinja2.UndefinedError: the template names a value that is not there.
    """
    return _environment().get_template(template).render(**values)
