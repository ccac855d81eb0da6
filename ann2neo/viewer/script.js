// The zoomable raster. Pixels are blocks of 2^k units by 2^m bins with the share of spikes in them; they come in tiles of 256 x 256 blocks, which are counted
// here from embedded bits, or by the server of the page.
(function () {
  "use strict";
  const SIDE = 256, MOST_TILES = 240, BUDGET_MS = 12, MOST_REQUESTS = 6, LARGEST_CELL = 40;
  const pow = (level) => Math.pow(2, level);
  const number = (value) => value.toLocaleString("en-US");
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

  async function inflate(text) {
    const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  // The last place in ascending `starts` that is at most `value`.
  function find(starts, value) {
    let low = 0, high = starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (starts[middle] <= value) low = middle; else high = middle - 1;
    }
    return low;
  }

  // Which trial and bin lie at each place of an order of trials.
  function arrangement(known, rows) {
    const start = known.trials.start, n = start.length;
    const length = (row) => (row + 1 < n ? start[row + 1] : known.n_bins) - start[row];
    const places = new Float64Array(n);
    for (let i = 0, at = 0; i < n; i++) { places[i] = at; at += length(rows ? rows[i] : i); }
    const locate = (place) => {
      const i = find(places, place), row = rows ? rows[i] : i, step = place - places[i];
      return { row, step, bin: start[row] + step, n_steps: length(row) };
    };
    const label = known.bins ? (place) => known.bins.codes[locate(place).bin % known.bins.codes.length]
      : known.trials.label ? (place) => known.trials.label.codes[locate(place).row] : null;
    const runs = { starts: [], codes: [] };
    const step = known.bins ? null : places;
    for (let i = 0; label && i < (step ? n : known.n_bins); i++) {
      const at = step ? step[i] : i, code = label(at);
      if (!i || code !== runs.codes[runs.codes.length - 1]) { runs.starts.push(at); runs.codes.push(code); }
    }
    return { rows, places, locate, runs };
  }

  // Counts of embedded bits. In another order of the inputs the bits are arranged once.
  function embeddedSource(known, bits, orders) {
    const stride = Math.ceil(known.n_bins / 8), ones = new Uint8Array(256), kept = [bits];
    for (let i = 1; i < 256; i++) ones[i] = ones[i >> 1] + (i & 1);
    function arranged(order) {
      if (kept[order]) return kept[order];
      const { places, rows } = orders[order], out = new Uint8Array(bits.length), from = new Uint32Array(known.n_bins);
      const start = known.trials.start;
      for (let i = 0; i < places.length; i++) {
        const end = i + 1 < places.length ? places[i + 1] : known.n_bins;
        for (let k = 0; k < end - places[i]; k++) from[places[i] + k] = start[rows[i]] + k;
      }
      for (let unit = 0, base = 0; unit < known.n_units; unit++, base += stride)
        for (let place = 0; place < known.n_bins; place++) {
          const bin = from[place];
          if (bits[base + (bin >> 3)] & (128 >> (bin & 7))) out[base + (place >> 3)] |= 128 >> (place & 7);
        }
      return (kept[order] = out);
    }
    return {
      immediate: true,
      read(order, u, b, i, j) {
        const counts = new Uint32Array(SIDE * SIDE), from = arranged(order), wide = pow(b), first = j * SIDE * wide;
        const stop = Math.min(known.n_units, (i + 1) * SIDE * pow(u));
        for (let unit = i * SIDE * pow(u); unit < stop; unit++) {
          const row = (Math.floor(unit / pow(u)) - i * SIDE) * SIDE, base = unit * stride;
          if (b >= 3) {
            const end = Math.min(stride, (first + SIDE * wide) / 8), per = wide / 8;
            for (let byte = first / 8, cell = row; byte < end; cell++) {
              let sum = 0;
              for (const until = Math.min(end, byte + per); byte < until; byte++) sum += ones[from[base + byte]];
              counts[cell] += sum;
            }
          } else {
            const end = Math.min(known.n_bins, first + SIDE * wide);
            for (let bin = first; bin < end; bin++)
              if (from[base + (bin >> 3)] & (128 >> (bin & 7))) counts[row + ((bin - first) >> b)]++;
          }
        }
        return counts;
      },
    };
  }

  function servedSource(address) {
    return {
      immediate: false,
      async read(order, u, b, i, j) {
        const answer = await fetch(`${address}?order=${order}&u=${u}&b=${b}&i=${i}&j=${j}`).catch(() => {
          throw new Error("What serves this page has ended: start it again, and open its new address.");
        });
        if (!answer.ok) throw new Error(await answer.text());
        return new Uint32Array(await answer.arrayBuffer());
      },
    };
  }

  // Counts of spike times on a fine lattice, and how much of each block was observed, in bins. Times are differences, unit after unit.
  function spikeSource(known, bytes) {
    const gaps = new Uint32Array(bytes.buffer), begins = [0], times = new Float64Array(gaps.length);
    for (const n of known.time.n_spikes) begins.push(begins[begins.length - 1] + n);
    for (let unit = 0; unit < known.n_units; unit++)
      for (let k = begins[unit], at = 0; k < begins[unit + 1]; k++) times[k] = at += gaps[k];
    function from(unit, value) {
      let low = begins[unit], high = begins[unit + 1];
      while (low < high) { const middle = (low + high) >> 1; if (times[middle] < value) low = middle + 1; else high = middle; }
      return low;
    }
    function observed(pieces, first, wide) {
      const found = new Float64Array(SIDE);
      for (const [start, stop] of pieces)
        for (let x = Math.max(0, Math.floor((start - first) / wide)); x < SIDE && first + x * wide < stop; x++)
          found[x] += Math.max(0, Math.min(stop, first + (x + 1) * wide) - Math.max(start, first + x * wide));
      return found;
    }
    return {
      immediate: true,
      read(order, u, b, i, j) {
        const counts = new Uint32Array(SIDE * SIDE), seen = new Float64Array(SIDE * SIDE), wide = pow(b), first = j * SIDE * wide, end = first + SIDE * wide;
        const rows = known.time.pieces.map((pieces) => observed(pieces, first, wide));
        for (let unit = i * SIDE * pow(u); unit < Math.min(known.n_units, (i + 1) * SIDE * pow(u)); unit++) {
          const row = (Math.floor(unit / pow(u)) - i * SIDE) * SIDE, own = rows[known.time.pieces_of[unit]];
          for (let x = 0; x < SIDE; x++) seen[row + x] += own[x];
          for (let k = from(unit, first); k < begins[unit + 1] && times[k] < end; k++) counts[row + Math.floor((times[k] - first) / wide)]++;
        }
        return { counts, seen };
      },
    };
  }

  function unitName(known, unit) {
    const number = find(known.offsets, unit), layer = known.layers[number], at = unit - known.offsets[number];
    if (layer.names) return layer.names[at];
    let place = layer.units ? layer.units[at] : at;
    const index = layer.shape.map(() => 0);
    for (let axis = layer.shape.length - 1; axis >= 0; axis--) {
      index[axis] = place % layer.shape[axis];
      place = Math.floor(place / layer.shape[axis]);
    }
    return `${layer.name}[${index.join(",")}]`;
  }

  async function start(root) {
    const part = (name) => root.querySelector(`.${name}`);
    const known = JSON.parse(part("known").textContent), canvas = part("plot"), context = canvas.getContext("2d");
    known.offsets = [];
    known.n_units = known.layers.reduce((sum, layer) => (known.offsets.push(sum), sum + layer.n), 0);
    const orders = [arrangement(known, null)];
    if (known.by_label) orders.push(arrangement(known, known.by_label));
    const source = known.tiles ? servedSource(known.tiles) : known.time ? spikeSource(known, await inflate(known.spikes)) : embeddedSource(known, await inflate(known.bits), orders);
    const images = known.images ? { ...known.images, values: await inflate(known.images.values) } : null;
    const whole = { x0: 0, x1: known.n_bins, y0: 0, y1: known.n_units };
    const coarsest = (size) => Math.max(0, Math.ceil(Math.log2(size / SIDE)));
    const top = { u: coarsest(known.n_units), b: coarsest(known.n_bins) };
    let view = { ...whole }, order = known.by_label && known.first_by_label ? 1 : 0, cursor = null, tiles = new Map(), wanted = [], asked = new Set(), due = false, spoken = 0;
    let colours, area, level, complete = false, moved = false;

    function readColours() {
      const style = getComputedStyle(root), probe = document.createElement("canvas").getContext("2d");
      const rgb = (name) => {
        probe.fillStyle = style.getPropertyValue(name).trim();
        return [1, 3, 5].map((at) => parseInt(probe.fillStyle.slice(at, at + 2), 16));
      };
      const [paper, ink] = [rgb("--paper"), rgb("--ink")], ramp = [];
      for (let i = 0; i < 256; i++) ramp.push(paper.map((from, c) => Math.round(from + ((ink[c] - from) * i) / 255)));
      const names = ["paper", "ink", "soft", "line", "band", "mark"];
      colours = { ramp, unseen: rgb("--unseen"), dark: paper[0] < 128, ...Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()])) };
      for (const tile of tiles.values()) tile.picture = null;
      const scale = part("scale"), strip = scale.getContext("2d");
      for (let i = 0; i < scale.width; i++) {
        strip.fillStyle = `rgb(${colours.ramp[Math.round(255 * Math.sqrt(i / (scale.width - 1)))]})`;
        strip.fillRect(i, 0, 1, scale.height);
      }
    }

    const labels = known.bins || known.trials.label || null;
    function labelColour(code) {
      if (code < 0) return colours.band;
      return `hsl(${(code * 137.508 + 210) % 360} ${code % 2 ? 55 : 70}% ${colours.dark ? 28 + 4 * (code % 3) : 70 + 6 * (code % 3)}%)`;
    }

    // Room for the longest name of a unit, in CSS pixels.
    context.font = "11px system-ui, sans-serif";
    const widest = Math.max(...known.layers.map((layer) => context.measureText(`${layer.name}[${layer.shape.map((size) => size - 1)}]`).width));

    // ---- Tiles.
    function picture(tile) {
      if (tile.picture) return tile.picture;
      const wide = pow(tile.b), high = pow(tile.u), left = tile.j * SIDE * wide, up = tile.i * SIDE * high;
      const w = Math.min(SIDE, Math.ceil((known.n_bins - left) / wide)), h = Math.min(SIDE, Math.ceil((known.n_units - up) / high));
      const image = new ImageData(w, h);
      for (let y = 0, at = 0; y < h; y++)
        for (let x = 0; x < w; x++, at += 4) {
          const cells = tile.seen ? tile.seen[y * SIDE + x] : Math.min(wide, known.n_bins - left - x * wide) * Math.min(high, known.n_units - up - y * high);
          // Of cells the scale ends at a rate, which a single spike in a short time exceeds.
          const share = Math.min(1, tile.counts[y * SIDE + x] / cells / (known.time ? known.time.top_hz * known.time.bin_ms / 1000 : 1));
          const [r, g, b] = cells > 0 ? colours.ramp[Math.round(255 * Math.sqrt(share))] : colours.unseen;
          image.data[at] = r; image.data[at + 1] = g; image.data[at + 2] = b; image.data[at + 3] = 255;
        }
      tile.picture = document.createElement("canvas");
      tile.picture.width = w; tile.picture.height = h;
      tile.picture.getContext("2d").putImageData(image, 0, 0);
      return tile.picture;
    }
    const key = (u, b, i, j) => `${order}/${u}/${b}/${i}/${j}`;
    function keep(name, u, b, i, j, read) {
      tiles.set(name, { u, b, i, j, counts: read.counts || read, seen: read.seen, picture: null });
      for (const old of tiles.keys()) {
        if (tiles.size <= MOST_TILES) break;
        tiles.delete(old);
      }
    }
    function cached(u, b, i, j) {
      const name = key(u, b, i, j), found = tiles.get(name);
      if (found) { tiles.delete(name); tiles.set(name, found); }
      return found;
    }
    function ask() {
      if (source.immediate) {
        const begun = performance.now();
        while (wanted.length && performance.now() - begun < BUDGET_MS) {
          const { name, at } = wanted.shift();
          keep(name, ...at, source.read(order, ...at));
        }
        if (!complete) schedule();
        return;
      }
      while (wanted.length && asked.size < MOST_REQUESTS) {
        const { name, at } = wanted.shift();
        if (asked.has(name)) continue;
        asked.add(name);
        source.read(order, ...at).then((counts) => { keep(name, ...at, counts); part("problem").textContent = ""; })
          .catch((error) => { part("problem").textContent = error.message; wanted = []; failed = performance.now(); })
          .finally(() => { asked.delete(name); schedule(); });
      }
    }
    let failed = -Infinity;

    // ---- Drawing.
    const X = (bin) => area.x + (bin - view.x0) * area.sx, Y = (unit) => area.y + (unit - view.y0) * area.sy;
    function measure() {
      const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
      if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
      if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
      const left = Math.round(clamp(widest + 14, 44, Math.min(220, width * 0.3)) * ratio), above = Math.round((labels ? 20 : 4) * ratio), below = Math.round(34 * ratio);
      const w = Math.max(1, canvas.width - left - Math.round(10 * ratio)), h = Math.max(1, canvas.height - above - below);
      area = { ratio, x: left, y: above, w, h, sx: w / (view.x1 - view.x0), sy: h / (view.y1 - view.y0) };
      level = { u: clamp(Math.ceil(-Math.log2(area.sy) - 1e-9), 0, top.u), b: clamp(Math.ceil(-Math.log2(area.sx) - 1e-9), 0, top.b) };
    }
    function rectangle(u, b, i, j, w, h) {
      const left = j * SIDE * pow(b), up = i * SIDE * pow(u);
      const x = Math.round(X(left)), y = Math.round(Y(up));
      return [x, y, Math.round(X(left + w * pow(b))) - x, Math.round(Y(up + h * pow(u))) - y];
    }
    function put(tile) {
      const image = picture(tile);
      context.drawImage(image, ...rectangle(tile.u, tile.b, tile.i, tile.j, image.width, image.height));
    }
    // The nearest coarser tile stands in for one that is not there yet.
    function standIn(i, j) {
      for (let more = 1, u = level.u, b = level.b; u < top.u || b < top.b; more++) {
        u = Math.min(level.u + more, top.u); b = Math.min(level.b + more, top.b);
        const found = cached(u, b, Math.floor(i / pow(u - level.u)), Math.floor(j / pow(b - level.b)));
        if (!found) continue;
        context.save();
        context.beginPath();
        context.rect(...rectangle(level.u, level.b, i, j, SIDE, SIDE));
        context.clip();
        put(found);
        context.restore();
        return;
      }
    }
    function drawTiles() {
      const span = (low, high, size) => [Math.floor(low / size), Math.floor((high - 1e-9) / size)];
      const [j0, j1] = span(Math.max(view.x0, 0), Math.min(view.x1, known.n_bins), SIDE * pow(level.b));
      const [i0, i1] = span(Math.max(view.y0, 0), Math.min(view.y1, known.n_units), SIDE * pow(level.u));
      wanted = [];
      const want = (...at) => wanted.push({ name: key(...at), at });
      if (!cached(top.u, top.b, 0, 0)) want(top.u, top.b, 0, 0);
      complete = true;
      for (let i = i0; i <= i1; i++)
        for (let j = j0; j <= j1; j++) {
          const found = cached(level.u, level.b, i, j);
          if (found) { put(found); continue; }
          complete = false;
          standIn(i, j);
          want(level.u, level.b, i, j);
        }
    }
    function fitted(text, width) {
      if (context.measureText(text).width <= width) return text;
      // The end of a name tells more apart than its middle.
      for (let n = text.length - 1; n > 1; n--) {
        const short = `${text.slice(0, Math.floor(n / 3))}…${text.slice(text.length - Math.ceil((2 * n) / 3))}`;
        if (context.measureText(short).width <= width) return short;
      }
      return "";
    }
    function drawLayers() {
      const { ratio } = area, font = 11 * ratio;
      context.font = `${font}px system-ui, sans-serif`; context.textAlign = "right"; context.textBaseline = "middle";
      known.layers.forEach((layer, i) => {
        const from = clamp(Y(known.offsets[i]), area.y, area.y + area.h), to = clamp(Y(known.offsets[i] + layer.n), area.y, area.y + area.h);
        if (to <= from) return;
        context.fillStyle = i % 2 ? colours.paper : colours.band;
        context.fillRect(0, from, area.x - 3 * ratio, to - from);
        context.fillStyle = colours.ink;
        if (area.sy < 13 * ratio && to - from >= 0.95 * font) context.fillText(fitted(layer.name, area.x - 10 * ratio), area.x - 7 * ratio, (from + to) / 2);
        if (i && Y(known.offsets[i]) > area.y && Y(known.offsets[i]) < area.y + area.h) {
          context.fillStyle = colours.mark;
          context.fillRect(area.x - 8 * ratio, Math.round(Y(known.offsets[i]) - ratio / 2), area.w + 8 * ratio, Math.max(1, Math.round(ratio)));
        }
      });
    }
    // Where there is room, each unit has its name.
    function drawUnits() {
      for (let unit = Math.floor(view.y0); area.sy >= 13 * area.ratio && unit < Math.min(view.y1, known.n_units); unit++) {
        const y = Y(unit + 0.5);
        context.fillStyle = colours.ink;
        if (y > area.y && y < area.y + area.h) context.fillText(fitted(unitName(known, unit), area.x - 10 * area.ratio), area.x - 7 * area.ratio, y);
      }
    }
    function drawLabels() {
      if (!labels) return;
      const { starts, codes } = orders[order].runs, { ratio } = area, height = 14 * ratio, up = area.y - 17 * ratio;
      const end = (run) => (run + 1 < starts.length ? starts[run + 1] : known.n_bins);
      let run = find(starts, Math.max(0, Math.floor(view.x0)));
      for (let x = 0; x < area.w; x++) {
        const from = view.x0 + x / area.sx, to = Math.min(known.n_bins, view.x0 + (x + 1) / area.sx);
        while (run + 1 < starts.length && starts[run + 1] <= from) run++;
        // Where a pixel holds several labels it has the colour of none.
        context.fillStyle = end(run) >= to || area.sx >= 1 ? labelColour(codes[run]) : colours.line;
        context.fillRect(area.x + x, up, 1, height);
      }
      context.font = `${10.5 * ratio}px system-ui, sans-serif`; context.textAlign = "center"; context.textBaseline = "middle";
      context.fillStyle = colours.ink;
      for (let r = find(starts, Math.max(0, Math.floor(view.x0))), n = 0; r < starts.length && starts[r] < view.x1 && n < 3000; r++, n++) {
        const from = Math.max(X(starts[r]), area.x), to = Math.min(X(end(r)), area.x + area.w);
        if (to - from < 8 * ratio || codes[r] < 0) continue;
        const text = labels.names[codes[r]];
        if (context.measureText(text).width <= to - from - 2) context.fillText(text, (from + to) / 2, up + height / 2);
      }
    }
    function drawPasses() {
      const { pass } = known.trials;
      for (let i = 1; pass && i < pass.length; i++)
        if (pass[i] !== pass[i - 1]) {
          const x = X(orders[order].places[i]);
          if (x > area.x && x < area.x + area.w) { context.fillStyle = colours.mark; context.fillRect(Math.round(x), area.y, Math.max(1, Math.round(area.ratio)), area.h); }
        }
    }
    // Time in seconds, with the decimals that a step of the axis needs.
    function seconds(place, step) {
      const decimals = Math.max(0, -Math.floor(Math.log10((step * known.time.bin_ms) / 1000) + 1e-9));
      return (Math.round(place + known.time.begin_ms / known.time.bin_ms) * known.time.bin_ms / 1000).toLocaleString("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
    }
    const n_segments = known.time ? known.time.segments.length : 0, timeWords = `time (s)${n_segments > 1 ? `, ${n_segments} segments one after another` : ""}`;
    function drawSegments() {
      for (let i = 1; i < n_segments; i++) {
        const x = X(known.time.segments[i].start);
        if (x > area.x && x < area.x + area.w) { context.fillStyle = colours.mark; context.fillRect(Math.round(x), area.y, Math.max(1, Math.round(area.ratio)), area.h); }
      }
    }
    function drawAxis() {
      const { ratio } = area, span = view.x1 - view.x0, rough = (span * 90 * ratio) / area.w, size = Math.pow(10, Math.floor(Math.log10(rough)));
      const step = Math.max(1, [1, 2, 5, 10].map((times) => times * size).find((value) => value >= rough)), y = area.y + area.h;
      context.fillStyle = colours.soft; context.font = `${11 * ratio}px system-ui, sans-serif`; context.textAlign = "center"; context.textBaseline = "top";
      const shift = known.time ? Math.round(known.time.begin_ms / known.time.bin_ms) : 0;
      for (let place = Math.ceil((view.x0 + shift) / step) * step - shift; place < view.x1; place += step) {
        const x = X(place + (known.time ? 0 : 0.5));
        if (x > area.x + area.w) break;
        context.fillRect(Math.round(x), y, Math.max(1, Math.round(ratio)), 4 * ratio);
        context.fillText(known.time ? seconds(place, step) : number(place), x, y + 6 * ratio);
      }
      const words = known.time ? timeWords : order ? "bin, inputs by label" : `bin, inputs ${known.arranged}`;
      context.fillText(words, area.x + area.w / 2, y + 20 * ratio);
    }
    function draw() {
      due = false;
      if (!canvas.clientWidth || !canvas.clientHeight) return;
      measure();
      context.imageSmoothingEnabled = false;
      context.fillStyle = colours.paper;
      context.fillRect(0, 0, canvas.width, canvas.height);
      context.save();
      context.beginPath();
      context.rect(area.x, area.y, Math.min(area.w, Math.round(X(known.n_bins)) - area.x), Math.min(area.h, Math.round(Y(known.n_units)) - area.y));
      context.clip();
      drawTiles();
      context.restore();
      drawLayers(); drawUnits(); drawLabels(); drawPasses(); drawSegments(); drawAxis();
      context.strokeStyle = colours.line; context.lineWidth = Math.max(1, Math.round(area.ratio));
      context.strokeRect(area.x - 0.5, area.y - 0.5, area.w + 1, area.h + 1);
      if (cursor) drawCursor();
      say();
      if (performance.now() - failed > 2000 && (wanted.length || !complete)) ask();
      if (complete) root.dispatchEvent(new CustomEvent("ann2neo-drawn"));
    }
    function drawCursor() {
      const width = Math.max(area.sx, 6 * area.ratio), height = Math.max(area.sy, 6 * area.ratio);
      context.strokeStyle = colours.mark; context.lineWidth = 2 * area.ratio;
      context.strokeRect(X(cursor.place + 0.5) - width / 2, Y(cursor.unit + 0.5) - height / 2, width, height);
    }
    function schedule() {
      if (!due) { due = true; requestAnimationFrame(draw); }
    }

    // ---- Words.
    function count(place, unit) {
      const wide = SIDE * pow(level.b), high = SIDE * pow(level.u), i = Math.floor(unit / high), j = Math.floor(place / wide);
      const tile = tiles.get(key(level.u, level.b, i, j));
      if (!tile) return null;
      const y = Math.floor(unit / pow(level.u)), x = Math.floor(place / pow(level.b));
      const at = (y - i * SIDE) * SIDE + x - j * SIDE;
      const cells = Math.min(pow(level.b), known.n_bins - x * pow(level.b)) * Math.min(pow(level.u), known.n_units - y * pow(level.u));
      return { spikes: tile.counts[at], cells, seen: tile.seen ? tile.seen[at] : cells, units: Math.min(pow(level.u), known.n_units - y * pow(level.u)) };
    }
    function describeTime({ place, unit }) {
      const { time, trials } = known, words = [unitName(known, unit)], segment = find(time.segments.map((each) => each.start), place), own = time.segments[segment];
      const at = ((place - own.start) * time.bin_ms + own.begin_ms) / 1000, { row } = orders[0].locate(place);
      words.push(`${n_segments > 1 ? `segment ${own.number}, ` : ""}${at.toFixed(Math.max(0, Math.ceil(-Math.log10(time.bin_ms / 1000) - 1e-9)))} s`);
      if (trials.trial[row] >= 0) words.push(`trial ${number(trials.trial[row])}`);
      if (trials.label && trials.label.codes[row] >= 0) words.push(`${time.by} ${trials.label.names[trials.label.codes[row]]}`);
      const found = count(place, unit);
      if (found) {
        const ms = (pow(level.b) * time.bin_ms).toLocaleString("en-US"), many = found.units > 1 ? ` of ${found.units} units` : "";
        words.push(!found.seen ? "not observed" : `${number(found.spikes)} spike${found.spikes === 1 ? "" : "s"}${many} in ${ms} ms`);
      }
      return words.join(" · ");
    }
    function describe({ place, unit }) {
      if (known.time) return describeTime({ place, unit });
      const { trials } = known, { row, step, bin, n_steps } = orders[order].locate(place), words = [unitName(known, unit)];
      words.push(`input ${number(trials.trial[row])} (stimulus_id ${trials.stimulus_id[row]})`);
      if (n_steps > 1) words.push(`step ${step} of ${n_steps}`);
      if (trials.pass) words.push(`pass ${trials.pass[row]}`);
      const named = (name, column, at) => { if (column) words.push(`${name} ${column.codes[at] < 0 ? "unknown" : column.names[column.codes[at]]}`); };
      if (known.bins) named("label", known.bins, bin % known.bins.codes.length); else named("label", trials.label, row);
      named("trained on", trials.target_label, row);
      named("predicted", trials.predicted_label, row);
      if (trials.correct) words.push(["wrong", "correct"][trials.correct[row]] || "not known whether correct");
      const found = count(place, unit);
      if (found) words.push(found.cells > 1 ? `${number(found.spikes)} spikes in the ${number(found.cells)} unit-bins of this pixel` : found.spikes ? "spike" : "no spike");
      return words.join(" · ");
    }
    function showStimulus() {
      if (!images) return;
      const panel = part("stimulus"), at = cursor ? images.ids.indexOf(known.trials.stimulus_id[orders[order].locate(cursor.place).row]) : -1;
      panel.hidden = at < 0;
      if (at < 0) return;
      const [h, w, c] = images.shape, image = new ImageData(w, h), first = at * h * w * c;
      for (let pixel = 0; pixel < h * w; pixel++)
        for (let channel = 0; channel < 4; channel++)
          image.data[4 * pixel + channel] = channel === 3 ? (c === 4 ? images.values[first + pixel * c + 3] : 255) : images.values[first + pixel * c + (c === 1 ? 0 : channel)];
      panel.width = w; panel.height = h;
      panel.getContext("2d").putImageData(image, 0, 0);
    }
    function say() {
      part("line").textContent = cursor ? describe(cursor) : "Point at the raster, or focus it and use the arrow keys.";
      showStimulus();
      clearTimeout(spoken);
      spoken = setTimeout(() => { part("summary").textContent = summary(); }, moved ? 350 : 0);
    }
    function summary() {
      const between = (low, high, size) => `${number(Math.max(0, Math.floor(low)))} to ${number(Math.min(size, Math.ceil(high)) - 1)} of ${number(size)}`;
      const shown = known.layers.map((layer, i) => [layer, known.offsets[i]]).filter(([layer, at]) => at < view.y1 && at + layer.n > view.y0);
      const told = shown.slice(0, 4).map(([layer]) => `${layer.name} (${number(layer.n)} units, ${(100 * layer.n_spikes / (layer.n * known.n_bins)).toFixed(1)} % spikes)`);
      const more = shown.length > 4 ? ` and ${shown.length - 4} more layers` : "";
      const at = cursor && document.activeElement === canvas && moved ? ` In the middle: ${describe(cursor)}.` : "";
      if (known.time) {
        const step = Math.max(1, pow(level.b)), ends = [Math.max(0, view.x0), Math.min(known.n_bins, view.x1)].map((place) => seconds(Math.round(place), step));
        const rates = shown.slice(0, 4).map(([layer]) => `${layer.name} (${number(layer.n)} units, ${number(layer.n_spikes)} spikes)`);
        return `${ends[0]} to ${ends[1]} s${n_segments > 1 ? ` of ${n_segments} segments one after another` : ""}; units ${between(view.y0, view.y1, known.n_units)}: ${rates.join(", ")}${more}.${at}`;
      }
      return `Bins ${between(view.x0, view.x1, known.n_bins)}, inputs ${order ? "by label" : known.arranged}; units ${between(view.y0, view.y1, known.n_units)}: ${told.join(", ")}${more}.${at}`;
    }

    // ---- Moving.
    function within(low, high, size, least) {
      const span = clamp(high - low, Math.min(least, size), size), from = clamp((low + high - span) / 2, 0, size - span);
      return [from, from + span];
    }
    function show(x0, x1, y0, y1) {
      const least = (pixels) => pixels / (LARGEST_CELL * area.ratio);
      [view.x0, view.x1] = within(x0, x1, known.n_bins, least(area.w));
      [view.y0, view.y1] = within(y0, y1, known.n_units, least(area.h));
      moved = true;
      schedule();
    }
    function zoom(factor, px, py, axes) {
      const x = view.x0 + (px - area.x) / area.sx, y = view.y0 + (py - area.y) / area.sy;
      const [fx, fy] = [axes === "units" ? 1 : factor, axes === "inputs" ? 1 : factor];
      show(x - (x - view.x0) * fx, x + (view.x1 - x) * fx, y - (y - view.y0) * fy, y + (view.y1 - y) * fy);
    }
    const pan = (bins, units) => show(view.x0 + bins, view.x1 + bins, view.y0 + units, view.y1 + units);
    const middle = () => [area.x + area.w / 2, area.y + area.h / 2];
    const fit = () => { part("layer").value = ""; show(0, known.n_bins, 0, known.n_units); };
    const axes = () => part("axes").value;
    function at(event) {
      const box = canvas.getBoundingClientRect();
      return [((event.clientX - box.left) * canvas.width) / box.width, ((event.clientY - box.top) * canvas.height) / box.height];
    }
    function cellAt(px, py) {
      const place = Math.floor(view.x0 + (px - area.x) / area.sx), unit = Math.floor(view.y0 + (py - area.y) / area.sy);
      const inside = px >= area.x && px < area.x + area.w && py >= area.y && py < area.y + area.h;
      return inside && place < known.n_bins && unit < known.n_units ? { place, unit } : null;
    }

    const fingers = new Map();
    canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); fingers.set(event.pointerId, at(event)); cursor = cellAt(...at(event)); schedule(); });
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => fingers.delete(event.pointerId));
    canvas.addEventListener("pointermove", (event) => {
      const now = at(event), before = fingers.get(event.pointerId);
      if (before && fingers.size === 1) pan((before[0] - now[0]) / area.sx, (before[1] - now[1]) / area.sy);
      if (before && fingers.size === 2) {
        const other = [...fingers].find(([id]) => id !== event.pointerId)[1], far = (a) => Math.max(8, Math.hypot(a[0] - other[0], a[1] - other[1]));
        zoom(far(before) / far(now), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2, axes());
      }
      if (before) fingers.set(event.pointerId, now);
      cursor = cellAt(...now);
      schedule();
    });
    canvas.addEventListener("pointerleave", () => { if (!fingers.size) { cursor = null; schedule(); } });
    // On a page with other contents, the wheel scrolls until the raster is chosen.
    const alone = document.body.classList.contains("ann2neo-page");
    if (!alone) part("help").prepend("Click the raster first. ");
    canvas.addEventListener("wheel", (event) => {
      if (!alone && !event.ctrlKey && document.activeElement !== canvas) return;
      event.preventDefault();
      const lines = event.deltaMode === 1 ? 16 : 1, delta = (event.deltaY || event.deltaX) * lines;
      zoom(Math.exp(clamp(delta, -400, 400) * (event.ctrlKey ? 0.01 : 0.002)), ...at(event), event.shiftKey ? "inputs" : event.altKey ? "units" : axes());
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
      const [w, h] = [(view.x1 - view.x0) / 8, (view.y1 - view.y0) / 8], times = event.shiftKey ? 8 : 1;
      const moves = { ArrowLeft: [-w, 0], ArrowRight: [w, 0], ArrowUp: [0, -h], ArrowDown: [0, h], PageUp: [0, -8 * h], PageDown: [0, 8 * h], Home: [-known.n_bins, 0], End: [known.n_bins, 0] };
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (moves[event.key]) pan(moves[event.key][0] * times, moves[event.key][1] * times);
      else if (event.key === "+" || event.key === "=") zoom(0.5, ...middle(), axes());
      else if (event.key === "-") zoom(2, ...middle(), axes());
      else if (event.key === "0") fit();
      else return;
      event.preventDefault();
      cursor = { place: Math.min(known.n_bins - 1, Math.floor((view.x0 + view.x1) / 2)), unit: Math.min(known.n_units - 1, Math.floor((view.y0 + view.y1) / 2)) };
    });
    part("in").addEventListener("click", () => zoom(0.5, ...middle(), axes()));
    part("out").addEventListener("click", () => zoom(2, ...middle(), axes()));
    part("fit").addEventListener("click", fit);
    function option(select, value, text) {
      const made = document.createElement("option");
      made.value = value; made.textContent = text;
      select.append(made);
    }
    option(part("layer"), "", known.time ? "all groups" : "all layers");
    known.layers.forEach((layer, i) => option(part("layer"), String(i), layer.name));
    part("layer").addEventListener("change", (event) => {
      const chosen = event.target.value, i = Number(chosen);
      show(view.x0, view.x1, ...(chosen ? [known.offsets[i], known.offsets[i] + known.layers[i].n] : [0, known.n_units]));
    });
    option(part("order"), "0", known.arranged);
    if (known.by_label) option(part("order"), "1", "by label");
    part("order").disabled = orders.length < 2;
    part("order").value = String(order);
    part("order").addEventListener("change", (event) => { order = Number(event.target.value); cursor = null; moved = true; schedule(); });
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); schedule(); });
    new ResizeObserver(schedule).observe(canvas);
    readColours();
    measure();
    root.raster = { show, state: () => ({ view, level, area, order, complete, tiles: tiles.size }) };
    schedule();
  }

  for (const root of document.querySelectorAll(".ann2neo-raster:not([data-begun])")) {
    root.dataset.begun = "";
    start(root).catch((error) => { root.querySelector(".problem").textContent = `The raster cannot be shown: ${error.message}`; });
  }
})();
