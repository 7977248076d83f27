"""What dashboards are made of: queries, and panels as Grafana reads them."""

# In the order of the work. tests/panels.rs holds them against the program's own.
STAGES = ["cut", "detect", "label", "blur", "stitch", "verify", "thumbnail", "index", "catalog", "sweep"]
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
GREEN, YELLOW, RED = "green", "yellow", "red"

EVENTS = "reelmill_events_total"
FAILED = 'verdict=~"retried|dead_lettered"'
# As deploy/prometheus/prometheus.yml names them; `mill` for one that runs all in one process.
JOBS = 'job=~"processors|vision|api|watch|mill"'
RATE = "$__rate_interval"
RANGE = "$__range"


# --- queries -------------------------------------------------------------------------------------


def rate(metric, by="processor"):
    return f"sum by ({by}) (rate({metric}[{RATE}]))"


def grown(metric, window=RANGE):
    """By how much a counter has grown. `increase` would miss the first event of a kind: its series
    begins with that event, at 1. After a restart what has been counted since then is taken."""
    return f"{metric} - {metric} offset {window} >= 0 or {metric}"


def of(metric, matchers):
    return f"{metric}{{{matchers}}}"


def total(metric, matchers="", by=""):
    """What a counter has grown by in the time shown."""
    return f"sum{f' by ({by})' if by else ''} ({grown(of(metric, matchers) if matchers else metric)})"


def or_none(query):
    """0 where nothing of the kind has happened yet."""
    return f"{query} or vector(0)"


def quantile(q, histogram, by=""):
    labels = f"{by}, le" if by else "le"
    name, braces, rest = histogram.partition("{")
    return f"histogram_quantile({q}, sum by ({labels}) (rate({name}_bucket{braces}{rest}[{RATE}])))"


def mean(histogram, by="processor"):
    name, braces, rest = histogram.partition("{")
    above, below = (f"sum by ({by}) (rate({name}_{part}{braces}{rest}[{RATE}]))" for part in ("sum", "count"))
    return f"{above} / {below}"


def order():
    """A row for every stage, in the order of the work, also for those nobody has heard of yet."""
    stages = enumerate(STAGES, 1)
    return " or ".join(f'label_replace(vector({n}), "processor", "{name}", "", "")' for n, name in stages)


# --- panels --------------------------------------------------------------------------------------


def targets(queries, instant, table):
    return [
        {
            "refId": chr(ord("A") + n),
            "datasource": SOURCE,
            "editorMode": "code",
            "expr": expr,
            "legendFormat": legend or "__auto",
            "instant": instant,
            "range": not instant,
            "format": "table" if table else "time_series",
        }
        for n, (expr, legend) in enumerate(queries)
    ]


def steps(levels):
    """Thresholds: [(from, colour)], green below the first."""
    first = [] if levels and levels[0][0] is None else [(None, GREEN)]
    return {"mode": "absolute", "steps": [{"value": v, "color": c} for v, c in first + list(levels)]}


def panel(
    kind, title, about, queries, *, width, height=8, unit="short", levels=(), options, custom=None, **more
):
    instant = more.pop("instant", False)
    table = more.pop("table", False)
    defaults = {
        "unit": unit,
        "thresholds": steps(levels),
        "mappings": [],
        "color": {"mode": more.pop("colour", "palette-classic")},
    }
    for name in ("min", "max", "decimals", "noValue"):
        if name in more:
            defaults[name] = more.pop(name)
    if custom is not None:
        defaults["custom"] = custom
    return {
        "type": kind,
        "title": title,
        "description": about,
        "datasource": SOURCE,
        "gridPos": {"w": width, "h": height},
        "targets": targets(queries, instant, table),
        "options": options,
        "fieldConfig": {"defaults": defaults, "overrides": more.pop("overrides", [])},
        **more,
    }


def lines(title, about, queries, *, width=12, stacked=False, levels=(), **more):
    custom = {
        "drawStyle": "line",
        "lineInterpolation": "linear",
        "lineWidth": 1,
        "fillOpacity": 20 if stacked else 5,
        "showPoints": "auto",
        "spanNulls": False,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if levels else "off"},
    }
    options = {
        "legend": {
            "displayMode": "table",
            "placement": "right",
            "showLegend": True,
            "calcs": ["lastNotNull", "max"],
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    more.setdefault("min", 0)
    return panel(
        "timeseries",
        title,
        about,
        queries,
        width=width,
        levels=levels,
        options=options,
        custom=custom,
        **more,
    )


def stat(title, about, queries, *, width=4, height=4, levels=(), **more):
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "orientation": "auto",
        "textMode": "auto",
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "auto",
    }
    more.setdefault("colour", "thresholds")
    return panel(
        "stat",
        title,
        about,
        queries,
        width=width,
        height=height,
        levels=levels,
        options=options,
        instant=True,
        **more,
    )


def table(title, about, queries, columns, *, width=24, height=10, hidden=(), sort, overrides=(), **more):
    """A table with a row for every set of labels; `columns` names the fields in order."""
    options = {
        "showHeader": True,
        "cellHeight": "sm",
        "footer": {"show": False, "reducer": ["sum"], "countRows": False, "fields": ""},
    }
    gone = {name: True for name in ("Time", *hidden)}
    field, descending = sort
    transformations = [
        {"id": "merge", "options": {}},
        {"id": "sortBy", "options": {"fields": {}, "sort": [{"field": field, "desc": descending}]}},
        {
            "id": "organize",
            "options": {
                "excludeByName": gone,
                "indexByName": {name: n for n, name in enumerate(columns)},
                "renameByName": dict(columns),
            },
        },
    ]
    custom = {"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False}
    return panel(
        "table",
        title,
        about,
        [(query, None) for query in queries],
        width=width,
        height=height,
        options=options,
        custom=custom,
        instant=True,
        table=True,
        colour="thresholds",
        transformations=transformations,
        overrides=list(overrides),
        **more,
    )


def column(name, *, unit=None, levels=None, links=None, decimals=None):
    """How one column of a table looks."""
    properties = []
    if unit:
        properties.append({"id": "unit", "value": unit})
    if decimals is not None:
        properties.append({"id": "decimals", "value": decimals})
    if levels:
        properties.append({"id": "thresholds", "value": steps(levels)})
        properties.append({"id": "custom.cellOptions", "value": {"type": "color-text"}})
    if links:
        properties.append({"id": "links", "value": links})
    return {"matcher": {"id": "byName", "options": name}, "properties": properties}


def heatmap(title, about, query, *, width=12, height=8):
    options = {
        "calculate": False,
        "cellGap": 1,
        "color": {
            "mode": "scheme",
            "scheme": "Oranges",
            "fill": "dark-orange",
            "scale": "exponential",
            "exponent": 0.5,
            "steps": 64,
            "reverse": False,
        },
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "tooltip": {"mode": "single", "yHistogram": False, "showColorScale": False},
        "yAxis": {"axisPlacement": "left", "reverse": False, "unit": "s"},
    }
    made = panel("heatmap", title, about, [(query, "{{le}}")], width=width, height=height, options=options)
    made["targets"][0]["format"] = "heatmap"
    return made


def row(title):
    return {"type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": {"w": 24, "h": 1}}


# --- a dashboard ---------------------------------------------------------------------------------


def place(panels):
    """Side by side as long as they fit, then the next line."""
    x = y = tallest = 0
    for number, each in enumerate(panels, 1):
        grid = each["gridPos"]
        if x + grid["w"] > 24:
            x, y, tallest = 0, y + tallest, 0
        each["id"] = number
        each["gridPos"] = {"h": grid["h"], "w": grid["w"], "x": x, "y": y}
        x, tallest = x + grid["w"], max(tallest, grid["h"])
    return panels


def choose_source():
    return {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
        "regex": "",
        "refresh": 1,
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "options": [],
        "current": {},
    }


def choose_stage():
    options = [{"text": name, "value": name, "selected": name == STAGES[0]} for name in STAGES]
    return {
        "name": "processor",
        "label": "Stage",
        "type": "custom",
        "query": ",".join(STAGES),
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "options": options,
        "current": options[0],
    }


def dashboard(uid, title, about, panels, *variables, since="now-1h"):
    return {
        "uid": uid,
        "title": title,
        "description": about,
        "tags": ["reelmill"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "fiscalYearStartMonth": 0,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": since, "to": "now"},
        "timepicker": {},
        "timezone": "browser",
        "weekStart": "",
        "annotations": {"list": []},
        "templating": {"list": [choose_source(), *variables]},
        "links": [
            {
                "title": "reelmill",
                "type": "dashboards",
                "tags": ["reelmill"],
                "asDropdown": False,
                "includeVars": True,
                "keepTime": True,
                "targetBlank": False,
                "icon": "external link",
                "tooltip": "",
                "url": "",
            }
        ],
        "panels": place(panels),
    }
