"""The Jinja template of the page: markup, style and the script that sorts tables; nothing is loaded from elsewhere."""

STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --soft: #555; --line: #d0d0d0; --faint: #ececec; --paper: #fff; --card: #f5f7f9; --link: #00609c; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e8; --soft: #b4b4b4; --line: #4a4a4a; --faint: #333; --paper: #17191c; --card: #23272c; --link: #7cc4f5; } }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: var(--paper); overflow-wrap: break-word;
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main, footer { margin: 0 auto; max-width: 76rem; padding: .6rem 1.2rem 1.5rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .8rem 0 .5rem; }
h2 { font-size: 1.25rem; margin: 1.6rem 0 .5rem; padding-top: .7rem; border-top: 1px solid var(--line); }
p { max-width: 50rem; margin: .5rem 0; } .lead { font-size: 1.1rem; max-width: 56rem; }
a { color: var(--link); }
code { font-size: .92em; background: var(--card); padding: 0 .2em; border-radius: 3px; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: .6rem; margin: .9rem 0; padding: 0; }
.facts div { background: var(--card); border-radius: 6px; padding: .5rem .8rem; display: flex; flex-direction: column-reverse; justify-content: flex-end; }
.facts dd { margin: 0; font-size: 1.35rem; font-weight: 600; } .facts dt { color: var(--soft); font-size: .85rem; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); gap: .8rem 1.4rem; align-items: start; }
figure { margin: .6rem 0; min-width: 0; } figure.across { grid-column: 1 / -1; }
figure img { display: block; max-width: 100%; height: auto; background: #fff; border-radius: 4px; }
figcaption, caption { color: var(--soft); font-size: .9rem; text-align: left; max-width: 46rem; }
figcaption { margin-top: .3rem; } caption { padding: .3rem 0; } caption span { display: block; max-width: min(46rem, 88vw); }
.limits { border-left: 4px solid var(--link); background: var(--card); padding: .2rem 1rem .4rem; margin: 1rem 0; } .limits h2 { border: 0; margin: .2rem 0; padding: .3rem 0 0; font-size: 1.05rem; }
.wide { overflow-x: auto; margin: .6rem 0; }
.tall { max-height: min(44rem, 75vh); overflow: auto; border: 1px solid var(--line); border-radius: 4px; }
.head { display: grid; grid-template-columns: minmax(0, 1fr); gap: 0 1.6rem; align-items: start; } .head > * { min-width: 0; }
@media (min-width: 64rem) { .head.two { grid-template-columns: minmax(0, 3fr) minmax(0, 2fr); } }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; text-align: left; white-space: nowrap; }
th.number, td.number { text-align: right; } td.long { white-space: normal; overflow-wrap: anywhere; min-width: min(18rem, 40vw); }
thead th { border-bottom: 2px solid var(--ink); vertical-align: bottom; white-space: normal; line-height: 1.25; }
thead button { all: unset; cursor: pointer; } thead button:focus-visible { outline: 2px solid var(--link); }
thead [title] { text-decoration: underline dotted; text-underline-offset: 3px; }
th:first-child, td:first-child { position: sticky; left: 0; background: var(--paper); }
tbody tr + tr td { border-top: 1px solid var(--faint); }
details { margin: .6rem 0; } summary { cursor: pointer; color: var(--link); }
dl.list { display: grid; grid-template-columns: minmax(8rem, max-content) minmax(0, 1fr); gap: .15rem 1rem; font-size: .85rem; }
dl.list dt { color: var(--soft); } dl.list dd { margin: 0; overflow-wrap: anywhere; }
footer { border-top: 1px solid var(--line); }
@media (max-width: 36rem) { dl.list { display: block; } dl.list dt { margin-top: .4rem; } main, footer { padding-left: .8rem; padding-right: .8rem; } }
@media (max-width: 46rem) { .across img { max-width: none; width: 46rem; } .tall img { max-width: none; } }
@media print { .across img { max-width: 100%; } .tall { max-height: none; overflow: visible; border: 0; } .tall img { max-width: 100%; max-height: 23cm; width: auto; } :root { --ink: #000; --soft: #444; --line: #bbb; --faint: #ddd; --paper: #fff; --card: #f5f5f5; --link: #000; color-scheme: light; }
  body { font-size: 9.5pt; } main, footer { max-width: none; padding: 0; } .wide { overflow: visible; } th:first-child, td:first-child { position: static; }
  .grid { grid-template-columns: repeat(2, 1fr); } .grid.one { grid-template-columns: 1fr; } .zoomable { display: none; } figure, tr, .facts, .limits { break-inside: avoid; } h2 { break-after: avoid; } caption { break-after: avoid; }
  table { font-size: 7.5pt; } table.many { font-size: 5pt; } td.long { min-width: 9rem; } th, td { padding: .15rem .3rem; white-space: normal; } table.many th, table.many td { padding: .1rem .12rem; } }
"""

# A click on a head sorts the rows by their values, a second click the other way; undefined values stay last. On paper nothing is folded.
SCRIPT = """
for (const table of document.querySelectorAll("table.sortable")) table.querySelectorAll("thead th").forEach((head, column) => {
  const button = document.createElement("button"); button.type = "button"; button.append(...head.childNodes); head.append(button);
  button.addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending", body = table.tBodies[0];
    const key = row => { const cell = row.cells[column]; return cell.dataset.n === undefined ? cell.textContent : cell.dataset.n === "" ? null : Number(cell.dataset.n); };
    const rows = [...body.rows].sort((a, b) => { const [x, y] = [key(a), key(b)];
      return x === null || y === null ? (x === null) - (y === null) : (x < y ? -1 : x > y ? 1 : 0) * (down ? -1 : 1); });
    table.querySelectorAll("thead th").forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending"); body.append(...rows); }); });
const closed = () => document.querySelectorAll("details:not([open])");
let opened = [];
addEventListener("beforeprint", () => { opened = [...closed()]; for (const part of opened) part.open = true; });
addEventListener("afterprint", () => { for (const part of opened) part.open = false; });
"""

TEMPLATE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>{{ style|safe }}</style>
</head>
<body>
{% set number = namespace(table=0, figure=0) %}
{% macro draw(picture) %}
{% set number.figure = number.figure + 1 %}
{% set across = half_width(picture.png) > 780 %}
<figure{% if across %} class="across"{% endif %}>
{% set tall = half_height(picture.png) > 1000 %}
{% if across or tall %}<div class="{{ "tall" if tall else "wide" }}" role="region" tabindex="0" aria-label="Figure {{ number.figure }}">{% endif %}
<img src="data:image/png;base64,{{ base64(picture.png) }}" alt="{{ picture.alt }}" width="{{ half_width(picture.png) }}">
{% if across or tall %}</div>{% endif %}
<figcaption>{{ picture.caption|prose }}{% if picture.file %} <a href="{{ picture.file|urlencode }}">{{ picture.file }}</a>{% endif %}</figcaption>
</figure>
{% endmacro %}
{% macro lay(table) %}
{% set number.table = number.table + 1 %}
<div class="wide" role="region" tabindex="0" aria-label="Table {{ number.table }}">
<table class="sortable{% if table.frame.columns|length > 14 %} many{% endif %}">
<caption><span>{{ table.caption|prose }}</span></caption>
<thead><tr>{% for name, numeric, meaning in heads(table) %}<th scope="col"{% if numeric %} class="number"{% endif %}>{% if meaning %}<span title="{{ meaning }}">{{ name }}</span>{% else %}{{ name }}{% endif %}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in rows(table) %}<tr>{% for cell, numeric, value in row %}<td{% if numeric %} class="number" data-n="{{ value }}"{% elif cell|length > 40 %} class="long"{% endif %}>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</tbody>
</table>
</div>
{% if table.n_left_out %}<p>{{ "{:,}".format(table.n_left_out) }} more rows are not shown.</p>{% endif %}
{% if table.definitions %}
<details><summary>What the columns are</summary>
<dl class="list">
{% for name, meaning in table.definitions.items() %}<dt>{{ name.replace("_", " ") }}</dt><dd>{{ meaning|prose }}</dd>
{% endfor %}</dl></details>
{% endif %}
{% endmacro %}
<main>
<h1>{{ title }}</h1>
{% for paragraph in lead %}<p{% if loop.first %} class="lead"{% endif %}>{{ paragraph|prose }}</p>
{% endfor %}
{% if facts %}<dl class="facts">
{% for fact in facts %}<div><dt>{{ fact.name }}</dt><dd>{{ fact.value }}</dd></div>
{% endfor %}</dl>{% endif %}
<div class="head{% if figure and limits and half_width(figure.png) <= 780 %} two{% endif %}">
{% if figure %}{{ draw(figure) }}{% endif %}
{% if limits %}<section class="limits">
<h2>What this does not show</h2>
{% for paragraph in limits %}<p>{{ paragraph|prose }}</p>
{% endfor %}</section>{% endif %}
</div>
{% for section in sections %}
<section id="section-{{ loop.index }}">
<h2>{{ section.heading }}</h2>
{% for paragraph in section.paragraphs %}<p>{{ paragraph|prose }}</p>
{% endfor %}
{% if section.figures %}<div class="grid{% if section.figures|length == 1 %} one{% endif %}">
{% for picture in section.figures %}{{ draw(picture) }}{% endfor %}
</div>{% endif %}
{% if section.zoomable %}<details class="zoomable"><summary>{{ section.zoomable.heading }}</summary>
<p>{{ section.zoomable.words|prose }}</p>
{% if section.zoomable.fragment %}{{ section.zoomable.fragment }}{% endif %}</details>{% endif %}
{% if section.folded %}<details><summary>{{ section.folded }}</summary>{% endif %}
{% if section.more_figures %}<div class="grid">
{% for picture in section.more_figures %}{{ draw(picture) }}{% endfor %}
</div>{% endif %}
{% for table in section.tables %}{{ lay(table) }}{% endfor %}
{% if section.folded %}</details>{% endif %}
</section>
{% endfor %}
{% if files %}<section>
<h2>Files beside this page</h2>
<dl class="list">
{% for name, words in files.items() %}<dt><a href="{{ name|urlencode }}">{{ name }}</a></dt><dd>{{ words|prose }}</dd>
{% endfor %}</dl>
</section>{% endif %}
</main>
<footer>
<details><summary>Provenance</summary>
<dl class="list">
{% for name, value in provenance %}<dt>{{ name }}</dt><dd>{{ value }}</dd>
{% endfor %}</dl></details>
</footer>
<script>{{ script|safe }}</script>
</body>
</html>
"""
