"""What notebooks show of runs: tables, and curves as SVG."""

import html
import math

_STYLE = "font: 12px system-ui, sans-serif; border-collapse: collapse"


def plot(key, steps, values, width=300, height=60) -> str:
    """A curve as SVG; it breaks where a value is no number."""
    points = [(step, value) for step, value in zip(steps, values, strict=True)]
    finite = [(step, value) for step, value in points if math.isfinite(value)]
    if not finite:
        return f"<span>{html.escape(key)}: no finite value</span>"
    left, right = finite[0][0], finite[-1][0]
    low, high = min(value for _, value in finite), max(value for _, value in finite)
    # By halves, since the difference of two floats may be beyond all floats.
    wide, tall = (right - left) or 1, (high / 2 - low / 2) or 1
    path, pen = [], "M"
    for step, value in points:
        if not math.isfinite(value):
            pen = "M"
            continue
        x = 2 + (step - left) / wide * (width - 4)
        y = height - 2 - (value / 2 - low / 2) / tall * (height - 4)
        path.append(f"{pen}{x:.1f} {y:.1f}")
        pen = "L"
    title = html.escape(f"{key}: {low:g} to {high:g}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" role="img" aria-label="{title}">'
        f"<title>{title}</title>"
        f'<path d="{" ".join(path)}" fill="none" stroke="#2563eb" stroke-width="1.5" stroke-linejoin="round"/></svg>'
    )


def table(found) -> str:
    """Runs as a table."""
    columns = list(found.columns)
    head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
    rows = []
    for row in found.rows()[:50]:
        cells = "".join(f"<td>{html.escape(_text(name, row.get(name)))}</td>" for name in columns)
        rows.append(f"<tr>{cells}</tr>")
    more = f"<p>{len(found)} of {found.total} runs</p>" if found.total > min(len(found), 50) else ""
    return f'<table style="{_STYLE}"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>{more}'


def run(view) -> str:
    """A run: its params, and a curve of each metric."""
    params = "".join(
        f"<tr><th>{html.escape(key)}</th><td>{html.escape(value)}</td></tr>" for key, value in view.params.items()
    )
    curves = "".join(
        f"<tr><th>{html.escape(key)}</th><td>{view[key]._repr_html_()}</td></tr>" for key in view.keys()[:30]
    )
    title = html.escape(f"{view.name or view.id} · {view.status}")
    return f'<div style="{_STYLE}"><b>{title}</b><table>{params}{curves}</table></div>'


def _text(name, value) -> str:
    if value is None:
        return ""
    if name in ("start_time", "end_time"):
        import datetime

        try:
            moment = datetime.datetime.fromtimestamp(value / 1000, datetime.UTC)
        except (ValueError, OverflowError, OSError):
            return f"{value} ms"
        return moment.strftime("%Y-%m-%d %H:%M:%S")
    return f"{value:g}" if isinstance(value, float) else str(value)
