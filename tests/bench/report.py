"""What was found, as markdown, JSON and a picture."""

import html
import math
from statistics import median

from goals import GOALS
from rows import METRICS

BROKERS = ["reference", "Gregor", "null"]

#: Only in the JSON: it says whether the client was the limit.
NOT_SHOWN = {"client CPU µs/message"}

#: The bars of the picture: how many times better than the reference.
BARS = [
    ("produce 100 B, 8 partitions", "messages/s", "100-byte messages produced per second"),
    ("produce 1024 B, 8 partitions", "messages/s", "1-KiB messages produced per second"),
    ("produce 100 B, 8 partitions", "broker CPU µs/message", "CPU per 100-byte message produced"),
    ("produce 1024 B, 8 partitions", "broker CPU µs/message", "CPU per 1-KiB message produced"),
    ("consume 100 B, 8 partitions", "messages/s", "100-byte messages consumed per second"),
    ("consume 1024 B, 8 partitions", "messages/s", "1-KiB messages consumed per second"),
    ("consume 100 B, 8 partitions", "broker CPU µs/message", "CPU per 100-byte message consumed"),
    ("consume 1024 B, 8 partitions", "broker CPU µs/message", "CPU per 1-KiB message consumed"),
    ("produce 100 B, gzip, log lines", "messages/s", "gzip messages produced per second"),
    ("acknowledged, 1,000 requests/s", "p50 µs", "median acknowledgement, 1,000 requests/s"),
    ("acknowledged, 1,000 requests/s", "p99 µs", "p99 acknowledgement, 1,000 requests/s"),
    ("end to end, 1,000 requests/s", "p50 µs", "median end to end, 1,000 messages/s"),
    ("64 connections, 1 request in flight each", "requests/s", "requests per second, 64 connections"),
    ("flushed, 1 connection, 1 message a request", "requests/s", "flushed requests per second"),
    ("produce 100 B, 8 partitions", "peak memory MiB", "memory under load"),
    ("start, 1,000 clean partitions", "memory MiB", "memory with 1,000 partitions at rest"),
    ("3 replicas, 100 B, acks=-1", "messages/s", "100-byte messages on three brokers per second"),
    ("3 replicas, 1024 B, acks=-1", "messages/s", "1-KiB messages on three brokers per second"),
    ("3 replicas, 100 B, acks=-1", "brokers' CPU µs/message", "CPU per 100-byte message on three brokers"),
    ("3 replicas, end to end, 1,000 requests/s", "p99 µs", "p99 end to end, three brokers"),
    ("killed: leader of 1,000 partitions", "without leaders ms", "until 1,000 partitions have new leaders"),
    ("start, 1 empty partition", "serving ms", "start to serving, empty"),
    ("start, 1,000 clean partitions", "serving ms", "start to serving, 1,000 partitions"),
]


def number(value):
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    if abs(value) >= 1e6:
        return f"{value / 1e6:.3g} M"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}"


def spread(values):
    if not values:
        return ""
    if len(values) == 1:
        return number(values[0])
    return f"{number(median(values))} ({number(min(values))}–{number(max(values))})"


def ratio(own, other, more_is_better):
    """Of the medians, with the worst of any round."""
    if not own or not other or not median(other):
        return ""
    rounds = [one / two for one, two in zip(own, other) if two]
    worst = min(rounds) if more_is_better else max(rounds)
    return f"{number(median(own) / median(other))} (worst {number(worst)})" if rounds else ""


def tables(results):
    lines = [
        "| row | metric | reference | Gregor | null broker | Gregor ÷ reference | Gregor ÷ null |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for row, metrics in results.items():
        for metric, found in metrics.items():
            if metric in NOT_SHOWN:
                continue
            cells = [spread(found.get(broker, [])) for broker in BROKERS]
            ratios = [ratio(found.get("Gregor"), found.get(other), METRICS[metric]) for other in ("reference", "null")]
            lines.append(f"| {row} | {metric} | {' | '.join(cells + ratios)} |")
            row = ""
    return lines


def judged(results):
    """Each goal whose row was run: name, row, metric, goal, median, worst, met."""
    for goal in GOALS:
        values = goal.values(results)
        if values:
            yield {"goal": goal.name, "row": goal.row, "metric": goal.metric, "aim": goal.text(),
                   "median": median(values), "worst": goal.worst(values), "met": goal.met(values)}


def goals(results):
    lines = ["| goal | row | metric | aim | median | worst | |", "|---|---|---|---|---:|---:|---|"]
    for goal in judged(results):
        verdict = "met" if goal["met"] else "**missed**"
        lines.append(f"| {goal['goal']} | {goal['row']} | {goal['metric']} | {goal['aim']} | {number(goal['median'])} "
                     f"| {number(goal['worst'])} | {verdict} |")
    return lines


def pauses(run):
    """What the machine itself takes from whoever runs on it."""
    return "; ".join(f"processor {processor} was taken away for {number(taken)} ms a second, {number(longest)} ms at the most"
                     for processor, (taken, longest) in run["pauses"].items())


def markdown(run):
    return "\n".join([
        f"{run['machine']}. While nothing ran, {pauses(run)}.",
        f"{run['rounds']} rounds, the brokers in turn; medians (lowest–highest). Other processes used "
        f"{run['others']:.0%} of a CPU at the median, {run['others_most']:.0%} at the most.",
        "",
        *tables(run["results"]),
        "",
        "A goal is met when the worst round reaches 90 % of it.",
        "",
        *goals(run["results"]),
        "",
    ])


def picture(run):
    """Bars on a logarithmic scale: how many times better Gregor's median is."""
    bars = []
    for row, metric, label in BARS:
        found = run["results"].get(row, {}).get(metric, {})
        own, other = found.get("Gregor"), found.get("reference")
        if own and other and median(own) and median(other):
            better = median(own) / median(other)
            bars.append((label, better if METRICS[metric] else 1 / better))
    left, width, height, top = 330, 430, 22, 44
    scale = max([math.log10(max(better, 1)) for _, better in bars] + [1])
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 80}" height="{top + height * len(bars) + 34}" '
        'font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        '<text x="12" y="24" font-size="16" fill="#222222">Gregor beside Kafka 0.8.2.2: how many times better</text>',
    ]
    bottom = top + height * len(bars)
    for power in range(math.ceil(scale) + 1):
        x = left + min(width, width * power / scale)
        if power <= scale:
            lines.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top - 4}" y2="{bottom}" stroke="#dddddd"/>')
            lines.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle" fill="#777777">{10 ** power}×</text>')
    for place, (label, better) in enumerate(bars):
        y = top + height * place
        end = left + width * math.log10(better) / scale
        start, length = min(left, end), max(abs(end - left), 1)
        colour = "#2f6f9f" if better >= 1 else "#b5483a"
        lines.append(f'<text x="{left - 12}" y="{y + 13}" text-anchor="end" fill="#222222">{html.escape(label)}</text>')
        lines.append(f'<rect x="{start:.1f}" y="{y + 1}" width="{length:.1f}" height="{height - 7}" fill="{colour}"/>')
        lines.append(f'<text x="{max(end, left) + 6:.1f}" y="{y + 13}" fill="#222222">{number(better)}</text>')
    return "\n".join([*lines, "</svg>", ""])
