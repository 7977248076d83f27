"""What a query names: its metrics, its labels, and the values it wants of them."""

import re

# PromQL's own words; functions and aggregations are told by the parenthesis behind them.
WORDS = {
    "and",
    "or",
    "unless",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "offset",
    "bool",
    "inf",
    "nan",
}
# Made by Prometheus for everything it scrapes.
OF_PROMETHEUS = {"up", "scrape_duration_seconds"}
LABELS_OF_PROMETHEUS = {"job", "instance"}

STRING = r'"(?:[^"\\]|\\.)*"'
MATCHER = rf"(\w+)\s*(=~|!~|!=|=)\s*({STRING})"
GROUPING = r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)"


def metrics(query):
    bare = re.sub(r"\$\w+", "1", re.sub(STRING, "", query))
    bare = re.sub(r"\{[^}]*\}", "", bare)
    bare = re.sub(r"\[[^\]]*\]", "", bare)
    bare = re.sub(GROUPING, "", bare)
    bare = re.sub(r"\boffset\s+\S+", "", bare)
    names = re.findall(r"(?<![\w.])([a-zA-Z_:][\w:]*)(?!\w)(?!\s*\()", bare)
    return {name for name in names if name.lower() not in WORDS}


def labels(query):
    grouped = re.findall(GROUPING, re.sub(STRING, '""', query))
    listed = {name.strip() for group in grouped for name in group.split(",") if name.strip()}
    return listed | {name for name, _, _ in wanted(query)}


def wanted(query):
    """[(label, operator, value)] of all matchers."""
    return [(name, operator, value[1:-1]) for name, operator, value in re.findall(MATCHER, query)]


def words(query, label):
    """The plain words that a query compares a label with."""
    values = (value for name, _, value in wanted(query) if name == label)
    return {word for value in values for word in value.split("|") if word}
