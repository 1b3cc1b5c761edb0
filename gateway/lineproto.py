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


def lines(points: Points, offset_ns: int) -> list[str]:
    """All points as lines.

    >>> from gateway.series import Series
    >>> level = Series("reading", (("sensor", "ngo-12"),), ("depth_m", "quality"))
    >>> lines({level: [(5_000_000, (0.214, 0))]}, offset_ns=1_000_000_000)
    ['reading,sensor=ngo-12 depth_m=0.214,quality=0i 1005']
    """
    found: dict[_Key, dict[str, str]] = {}
    for series, rows in points.items():
        tags = "".join(f",{_name(key)}={_name(value)}" for key, value in series.tags)
        head = _ended(series.measurement.translate(_MEASUREMENT)) + tags
        names = [_name(field) for field in series.fields]
        for site_ns, values in rows:
            key = ((site_ns + offset_ns) // NS_PER_MS, head)
            fields = found.setdefault(key, {})
            for name, value in zip(names, values, strict=True):
                if value is not None and value == value:  # not NaN
                    fields[name] = _value(value)
    ordered = sorted(found.items(), key=lambda item: item[0][0])
    return [
        f"{head} {','.join(f'{name}={text}' for name, text in fields.items())} {ms}"
        for (ms, head), fields in ordered
        if fields
    ]


def _name(text: str) -> str:
    return _ended(text.translate(_NAME))


def _ended(text: str) -> str:
    return text[:-1] + "/" if text.endswith("\\") else text


def _value(value: Value) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return f"{value}i"
        case float():
            return repr(value)
        case _:
            return f'"{str(value).translate(_TEXT)}"'
