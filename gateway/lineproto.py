"""Points as line protocol, precision ms: `measurement,tags fields time`.

Wall time = site time + offset. One line for each series (measurement and tags) and millisecond: a later row of the same
millisecond wins field by field. Sorted by time, else in the order given. NaN and None are left out; a row without any
value gives no line.

Source: InfluxDB line protocol reference (v2): commas, spaces and equal signs are escaped in names and tag values,
commas and spaces in measurements, quotes and backslashes in strings; a backslash before anything else stays as it is.
A name that ends with a backslash would escape what follows, and line breaks end a line: both are replaced.
"""

from typing import Final

from gateway.series import Points, Value

NS_PER_MS: Final = 1_000_000
_MEASUREMENT: Final = str.maketrans({",": "\\,", " ": "\\ ", "\n": " ", "\r": " "})
_NAME: Final = str.maketrans({",": "\\,", " ": "\\ ", "=": "\\=", "\n": " ", "\r": " "})
_TEXT: Final = str.maketrans({'"': '\\"', "\\": "\\\\"})

_Key = tuple[int, str]
_Fields = tuple[list[str], tuple[Value, ...]]


def lines(points: Points, offset_ns: int) -> list[str]:
    """All points as lines.

    >>> from gateway.series import Series
    >>> level = Series("reading", (("sensor", "ngo-12"),), ("depth_m", "quality"))
    >>> lines({level: [(5_000_000, (0.214, 0))]}, offset_ns=1_000_000_000)
    ['reading,sensor=ngo-12 depth_m=0.214,quality=0i 1005']
    """
    found: dict[_Key, list[_Fields]] = {}
    for series, rows in points.items():
        tags = "".join(f",{_name(key)}={_name(value)}" for key, value in series.tags)
        head = _ended(series.measurement.translate(_MEASUREMENT)) + tags
        names = [_name(field) for field in series.fields]
        for site_ns, values in rows:
            found.setdefault(((site_ns + offset_ns) // NS_PER_MS, head), []).append((names, values))
    ordered = sorted(found.items(), key=lambda item: item[0][0])
    told = ((ms, head, _told(rows)) for (ms, head), rows in ordered)
    return [f"{head} {text} {ms}" for ms, head, text in told if text]


def _told(rows: "list[_Fields]") -> str:
    """The fields of one line; of several rows the later wins field by field."""
    if len(rows) == 1:
        names, values = rows[0]
        return ",".join(
            [
                f"{name}={_value(value)}"
                for name, value in zip(names, values, strict=True)
                if value is not None and value == value  # not NaN
            ]
        )
    fields: dict[str, str] = {}
    for names, values in rows:
        for name, value in zip(names, values, strict=True):
            if value is not None and value == value:
                fields[name] = _value(value)
    return ",".join(f"{name}={text}" for name, text in fields.items())


def _name(text: str) -> str:
    return _ended(text.translate(_NAME))


def _ended(text: str) -> str:
    return text[:-1] + "/" if text.endswith("\\") else text


def _value(value: Value) -> str:
    if type(value) is float:  # first, because most are
        return repr(value)
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return f"{value}i"
        case float():
            return repr(float(value))
        case _:
            return f'"{str(value).translate(_TEXT)}"'
