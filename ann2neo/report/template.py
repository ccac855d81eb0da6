"""The page as Jinja sees it: markup and style, nothing loaded from elsewhere, no scripts."""

TEMPLATE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
:root { color-scheme: light; --ink: #1b1b1b; --soft: #555; --line: #d0d0d0; --blue: #0072b2; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1rem 1.2rem 3rem; color: var(--ink); background: #fff;
       font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 1rem 0 .6rem; }
h2 { font-size: 1.25rem; margin: 2.4rem 0 .6rem; padding-top: .8rem; border-top: 1px solid var(--line); }
p, li { max-width: 44rem; }
nav { margin: 1rem 0; } nav ol { margin: 0; padding-left: 1.3rem; } a { color: var(--blue); }
figure { margin: 1.4rem 0; }
figure img { display: block; max-width: 100%; height: auto; }
figcaption, .caption { color: var(--soft); font-size: .9rem; text-align: left; max-width: 44rem; }
figcaption { margin-top: .4rem; } .caption { margin: 1.2rem 0 .4rem; }
.wide { overflow-x: auto; margin: 0 0 1.2rem; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { padding: .28rem .6rem; text-align: left; white-space: nowrap; }
th.number, td.number { text-align: right; }
thead th { border-bottom: 2px solid var(--ink); vertical-align: bottom; white-space: normal; line-height: 1.25; }
th:first-child, td:first-child { position: sticky; left: 0; background: #fff; }
tbody tr + tr td { border-top: 1px solid #ececec; }
footer { margin-top: 3rem; padding-top: .8rem; border-top: 1px solid var(--line); color: var(--soft); font-size: .85rem; }
footer dl { display: grid; grid-template-columns: minmax(8rem, max-content) 1fr; gap: .15rem 1rem; }
footer dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 30rem) { footer dl { display: block; } footer dt { margin-top: .4rem; font-weight: 600; } }
@media print { body { max-width: none; padding: 0; font-size: 10pt; } nav { display: none; } .wide { overflow: visible; } .caption { break-after: avoid; }
  table { font-size: 7.5pt; } table.many { font-size: 5pt; } th, td { padding: .15rem .3rem; white-space: normal; } table.many th, table.many td { padding: .1rem .12rem; }
  table.many th { overflow-wrap: anywhere; } table.many td { white-space: nowrap; } figure, tr { break-inside: avoid; } h2 { break-after: avoid; } }
</style>
</head>
<body>
<h1>{{ title }}</h1>
{% for paragraph in lead %}<p>{{ paragraph }}</p>
{% endfor %}
{% if sections|length > 2 %}<nav aria-label="Contents"><ol>
{% for section in sections %}<li><a href="#section-{{ loop.index }}">{{ section.heading }}</a></li>
{% endfor %}</ol></nav>{% endif %}
{% for section in sections %}
<section id="section-{{ loop.index }}">
<h2>{{ section.heading }}</h2>
{% for paragraph in section.paragraphs %}<p>{{ paragraph }}</p>
{% endfor %}
{% for picture in section.figures %}
<figure>
<img src="data:image/png;base64,{{ base64(picture.png) }}" alt="{{ picture.alt }}" width="{{ half_width(picture.png) }}">
<figcaption>{{ picture.caption }}</figcaption>
</figure>
{% endfor %}
{% for table in section.tables %}
<p class="caption">{{ table.caption }}</p>
<div class="wide" role="region" tabindex="0" aria-label="{{ table.caption }}">
<table{% if table.frame.columns|length > 14 %} class="many"{% endif %}>
<thead><tr>{% for name, numeric in heads(table) %}<th scope="col"{% if numeric %} class="number"{% endif %}>{{ name }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in rows(table) %}<tr>{% for cell, numeric in row %}<td{% if numeric %} class="number"{% endif %}>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</tbody>
</table>
</div>
{% if table.n_left_out %}<p>{{ "{:,}".format(table.n_left_out) }} more rows are not shown.</p>{% endif %}
{% endfor %}
</section>
{% endfor %}
<footer>
<p>Provenance</p>
<dl>
{% for name, value in provenance %}<dt>{{ name }}</dt><dd>{{ value }}</dd>
{% endfor %}</dl>
</footer>
</body>
</html>
"""
