"""The dashboard as Grafana takes it, built with Grafana's own library for that."""

import itertools
from collections.abc import Iterator
from typing import Any

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import (
    dashboard,
    heatmap,
    prometheus,
    stat,
    table,
    timeseries,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import heatmap as heatmap_models
from grafana_foundation_sdk.models.dashboard import (
    Dashboard,
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
    VariableOption,
    VariableRefresh,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from k8s.dashboard import callers, resources, server
from k8s.dashboard.panel import Panel, Row

RUNBOOK = "https://runbooks.example/carfront/docs/runbook.md"
"""Where the alerts' ``runbook_url`` leads, too; k8s/components/alerts/README.md says how to have it
lead elsewhere."""
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
ROWS = (
    callers.CALLERS,
    server.FULLNESS,
    server.TIME,
    server.WRONG,
    server.RUNS,
    resources.TAKES,
    resources.KUBERNETES,
    resources.GPUS,
    resources.PROTOCOLS,
    resources.KEYS,
)
BUILDERS: dict[str, Any] = {
    "stat": stat.Panel,
    "table": table.Panel,
    "heatmap": heatmap.Panel,
    "timeseries": timeseries.Panel,
}


def text() -> str:
    """Return the dashboard as JSON, which ``components/monitoring/carfront.json`` holds."""
    return JSONEncoder(sort_keys=True, indent=2).encode(built()) + "\n"


def built() -> Dashboard:
    """Return the dashboard."""
    ids = itertools.count(1)
    whole = (
        dashboard.Dashboard("Carfront")
        .uid("carfront")
        .description(
            "For the person on call: what callers see, how full the server is, what was refused, "
            "what runs."
        )
        .tags(["carfront"])
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .refresh("30s")
        .time("now-1h", "now")
        .link(_link("Runbook", RUNBOOK))
    )
    for variable in _variables():
        whole.with_variable(variable)
    for panel in callers.NOW:
        whole.with_panel(_panel(panel, next(ids)))
    for row in ROWS:
        _add_row(whole, row, ids)
    return whole.build()


def _add_row(whole: dashboard.Dashboard, row: Row, ids: Iterator[int]) -> None:
    title = dashboard.Row(row.title).id(next(ids)).collapsed(row.is_closed)
    panels = [_panel(panel, next(ids)) for panel in row.panels]
    if row.is_closed:
        for panel in panels:
            title.with_panel(panel)
    whole.with_row(title)
    if not row.is_closed:
        for panel in panels:
            whole.with_panel(panel)


def _variables() -> Iterator[dashboard.QueryVariable | dashboard.DatasourceVariable]:
    yield dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
    for name, label in (("namespace", "Namespace"), ("job", "Instance")):
        variable = dashboard.QueryVariable(name).label(label).datasource(SOURCE)
        variable.query(f"label_values(carfront_engine_up, {name})")
        variable.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).include_all(True).multi(True)
        variable.current(VariableOption(text="All", value="$__all"))
        if name == "namespace":  # outside of Kubernetes there is none
            variable.all_value(".*")
        yield variable


def _panel(told: Panel, number: int) -> Any:
    """Return the builder of a panel; all kinds have the methods that are used for all of them."""
    panel = BUILDERS[told.kind]()
    panel.id(number).title(told.title).description(told.description).datasource(SOURCE)
    panel.unit(told.unit).span(told.width).height(told.height)
    for query, letter in zip(told.queries, "ABCDEFGH", strict=False):
        panel.with_target(_target(told, query.expression, query.legend).ref_id(letter))
    if told.no_value:
        panel.no_value(told.no_value)
    if told.decimals is not None:
        panel.decimals(told.decimals)
    if told.lowest is not None and told.kind != "heatmap":
        panel.min(told.lowest)
    if told.highest is not None:
        panel.max(told.highest)
    if told.texts:
        panel.mappings([_texts(told)])
    if told.steps:
        panel.thresholds(_thresholds(told))
    if told.runbook:
        panel.links([_link("What to do", f"{RUNBOOK}#{told.runbook.lower()}")])
    if told.kind == "timeseries":
        _draw_lines(panel, told)
    if told.kind == "heatmap":
        _draw_heat(panel)
    return panel


def _target(told: Panel, expression: str, legend: str) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(expression)
    if legend:
        target.legend_format(legend)
    if told.kind == "table":
        target.instant().format(PromQueryFormat.TABLE)
    if told.kind == "heatmap":
        target.format(PromQueryFormat.HEATMAP)
    return target


def _texts(told: Panel) -> ValueMap:
    results = {
        value: ValueMappingResult(text=words, color=color, index=index)
        for index, (value, (words, color)) in enumerate(told.texts.items())
    }
    return ValueMap(options=results)


def _thresholds(told: Panel) -> dashboard.ThresholdsConfig:
    first = Threshold(value=None, color="red" if told.is_bad_below else "green")
    steps = [Threshold(value=value, color=color) for color, value in told.steps]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps([first, *steps])


def _draw_lines(panel: timeseries.Panel, told: Panel) -> None:
    if told.is_stacked:
        stacking = common_builders.StackingConfig().mode(common.StackingMode.NORMAL).group("A")
        panel.stacking(stacking).fill_opacity(20)
    if told.is_stepped:
        panel.line_interpolation(common.LineInterpolation.STEP_AFTER)
    if told.steps:
        line = common_builders.GraphThresholdsStyleConfig()
        panel.thresholds_style(line.mode(common.GraphThresholdsStyleMode.LINE))


def _draw_heat(panel: heatmap.Panel) -> None:
    color = heatmap.HeatmapColorOptions().mode(heatmap_models.HeatmapColorMode.SCHEME)
    panel.calculate(False).color(color.scheme("Blues").steps(32).reverse(False))
    panel.y_axis(heatmap.YAxisConfig().unit("s"))


def _link(title: str, url: str) -> dashboard.DashboardLink:
    link = dashboard.DashboardLink(title).type(DashboardLinkType.LINK)
    return link.icon("doc").url(url).target_blank(True)
