// A live figure. One store per figure holds the arrays from the kernel; any number of views of the
// figure, in several cells, draw from it.
const TYPES = {f8: Float64Array, f4: Float32Array, i4: Int32Array, u1: Uint8Array};
const FAILED = -1, MARK_REACH = 14, GAP_REACH = 3;  // px beside a gap that still count as on it
const NEARLY = 0.2;  // ms; plotly writes the ends of a range with a tenth
const DRAG_REST = 150;  // ms without a move after which a dragged range may be drawn, if it was let go
const NOT_LOG = 'no logarithmic scale: there are values of 0 or below';
const PANS = {ArrowLeft: -0.1, ArrowRight: 0.1}, ZOOMS = {'+': 0.5, '=': 0.5, '-': 2};  // shares of the time shown
const page = (globalThis.__kucoinResearch ??= {stores: new Map(), plotly: null, isThere: false, asked: 0, asker: null});
page.turn ??= Promise.resolve();  // of the figures that are to be drawn; an older version on this page has none

function values(buffer, type) {
  const Kind = TYPES[type];
  const bytes = buffer.buffer.slice(buffer.byteOffset, buffer.byteOffset + buffer.byteLength);
  return new Kind(bytes);
}

async function unpacked(buffer) {
  const stream = new Blob([buffer]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Response(stream).blob();
}

// plotly.js comes from the kernel, once per page.
function loadPlotly() {
  if (page.plotly) return page.plotly;
  page.plotly = new Promise((resolve) => { page.arrived = resolve; }).then(async (buffer) => {
    const code = await unpacked(buffer);
    const url = URL.createObjectURL(new Blob([code], {type: 'text/javascript'}));
    const define = globalThis.define;
    globalThis.define = undefined;  // else plotly.js would register with the page's AMD loader
    try {
      await new Promise((resolve, reject) => {
        const script = document.createElement('script');
        script.onload = resolve;
        script.onerror = () => reject(new Error('plotly.js did not load'));
        script.src = url;
        document.head.append(script);
      });
    } finally { globalThis.define = define; URL.revokeObjectURL(url); }
    page.isThere = true;
    return globalThis.Plotly;
  });
  return page.plotly;
}

// The figure that has asked may be closed before the answer comes, and the answer is lost. So each
// figure that waits asks again, after 9 s or as soon as the asking one is closed.
function askForPlotly(store) {
  loadPlotly();
  const me = {};
  const ask = () => {
    if (page.isThere || Date.now() - page.asked < 9000) return;
    page.asked = Date.now();
    page.asker = me;
    store.send({kind: 'lib'});
  };
  ask();
  const timer = setInterval(ask, 1000);
  page.plotly.then(() => clearInterval(timer));
  return () => { clearInterval(timer); if (page.asker === me) page.asked = 0; };
}

function openStore(model) {
  const store = {arrays: new Map(), layout: {}, traces: {}, seq: 0, window: null, empty: true,
    views: new Set(), follow: true, isLog: false, heard: 0, trouble: '', summary: '', pace: {}, isDrawing: false, isWanted: false};
  const judgeAll = () => { for (const view of store.views) view.judge(); };
  store.line = lineTo(model, judgeAll);
  store.send = store.line.send;
  store.isVisible = () => [...store.views].some((each) => each.isVisible());
  store.presence = presence(store.line, store.isVisible);
  store.setLog = (isLog, why) => {
    store.isLog = isLog;
    for (const view of store.views) view.onLog(why);
    drawAll(store);
  };
  model.on('msg:custom', (message, buffers) => {
    store.heard = Date.now();
    if (!isForUs(message)) return;
    if (message.kind === 'lib') { page.arrived?.(buffers[0]); return; }
    if (message.kind === 'summary') store.summary = message.text;
    else if (message.kind === 'pace') store.pace = message;
    else store.trouble = message.trouble || '';
    judgeAll();
    if (message.kind !== 'frame') return;
    if (message.base === null) { store.arrays.clear(); store.layout = {}; store.traces = {}; }
    else if (message.base !== store.seq) { store.send({kind: 'hello'}); return; }
    take(store, message, buffers);
    drawAll(store);
  });
  return store;
}

function take(store, message, buffers) {
  store.seq = message.seq;
  store.window = message.window;
  store.empty = message.empty;
  message.parts.forEach(([trace, path, type, drop, keep, wide], place) => {
    const key = `${trace} ${path}`;
    const tail = values(buffers[place], type);
    const old = store.arrays.get(key);
    const unit = wide || 1;
    const kept = old ? old.values.subarray(drop * unit, (drop + keep) * unit) : tail.subarray(0, 0);
    const all = new TYPES[type](kept.length + tail.length);
    all.set(kept);
    all.set(tail, kept.length);
    store.arrays.set(key, {trace, path, wide, values: all});
  });
  const {'@': traces, ...layout} = message.layout;
  if (traces) store.traces = traces;
  Object.assign(store.layout, layout);
}

// Draws one frame at a time, then the newest of those that came meanwhile. A frame is acknowledged
// once it is on the screen, since the kernel judges by that how old the picture is.
async function drawAll(store) {
  store.isWanted = true;
  if (store.isDrawing) return;
  store.isDrawing = true;
  try {
    while (store.isWanted) {
      store.isWanted = false;
      const seq = store.seq;
      const spent = await Promise.all([...store.views].map((view) => view.draw()));
      if (!spent.includes(FAILED)) store.line.drawn(seq, Math.max(0, ...spent));
    }
  } finally { store.isDrawing = false; }
}

function put(target, path, value) {
  const names = path.split('.'), last = names.pop();
  for (const name of names) target = target[name] ??= {};
  target[last] = value;
}

function resolve(part, palette) {
  if (typeof part === 'string' && part[0] === '$') return palette[part.slice(1)];
  if (Array.isArray(part)) return part.map((each) => resolve(each, palette));
  if (part && typeof part === 'object' && !ArrayBuffer.isView(part)) {
    return Object.fromEntries(Object.entries(part).map(([k, v]) => [k, resolve(v, palette)]));
  }
  return part;
}

const css = (name) => getComputedStyle(document.body).getPropertyValue(name).trim();

function isDark() {
  const isLight = document.body.dataset.jpThemeLight;  // of JupyterLab
  if (isLight !== undefined) return isLight === 'false';
  if (document.body.classList.contains('vscode-dark')) return true;
  return !document.body.classList.contains('vscode-light')
    && matchMedia('(prefers-color-scheme: dark)').matches;
}

function palette(model) {
  const colours = {...model.get('palettes')[isDark() ? 'dark' : 'light']};
  // The page's own background and text colour, if it defines them: the figure should fit in.
  const ground = css('--jp-layout-color0'), text = css('--jp-ui-font-color1');
  if (ground) { colours.paper = ground; colours.hover = css('--jp-layout-color1') || ground; }
  if (text) colours.font = text;
  return colours;
}

function stretches(x, y) {
  const found = [];
  for (let start = 0, end = 0; end <= y.length; end++) {
    if (end < y.length && !Number.isNaN(y[end])) continue;
    if (end > start) found.push([start, end]);
    start = end + 1;
  }
  return found;
}

function stepped(xs, ys, x, y, [start, end], isBackward) {
  const from = xs.length;
  for (let i = start; i < end; i++) {
    if (i > start) { xs.push(x[i]); ys.push(y[i - 1]); }
    xs.push(x[i]);
    ys.push(y[i]);
  }
  if (isBackward) {
    xs.push(...xs.splice(from).reverse());
    ys.push(...ys.splice(from).reverse());
  }
}

function fillBand(data, {trace, low, high}) {
  const lows = stretches(data[low].x, data[low].y), highs = stretches(data[high].x, data[high].y);
  const xs = [], ys = [];
  if (lows.length === highs.length) {
    lows.forEach((part, place) => {
      if (place) { xs.push(NaN); ys.push(NaN); }
      stepped(xs, ys, data[low].x, data[low].y, part, false);
      stepped(xs, ys, data[high].x, data[high].y, highs[place], true);
    });
  }
  data[trace].x = xs;
  data[trace].y = ys;
}

// Plotly works on a trace also while it has no points, if it is visible. One in the legend stays there.
function hideIfEmpty(trace) {
  const isIdle = trace.showlegend === false && trace.x?.length === 0;
  if (isIdle) trace.visible = false;
  else if (trace.visible === false) delete trace.visible;
}

function rows2d({values: all, wide}) {
  const rows = [];
  for (let at = 0; at < all.length; at += wide) rows.push(all.subarray(at, at + wide));
  return rows;
}

function render({model, el}) {
  const store = page.stores.get(model.get('uid'));
  const askNoMore = askForPlotly(store);
  const send = store.send;
  el.classList.add('kr-figure');
  const plot = document.createElement('div');
  plot.className = 'kr-plot';
  plot.style.height = `${model.get('spec').layout.height}px`;
  const note = document.createElement('button');
  note.type = 'button';
  note.className = 'kr-note';
  note.textContent = model.get('spec').is_complete ? 'show all' : 'go live';
  note.title = 'follow the newest data on all charts that move together; a double click or the key Home does it, too';
  const tip = document.createElement('div');
  tip.className = 'kr-tip';
  tip.hidden = true;
  const tags = axisTags(plot, store, el, () => colours);
  const isTime = () => model.get('spec').layout.xaxis?.type === 'date';
  const titles = axisTitles(plot, model.get('spec').is_compact, () => colours);
  const cross = crosshair(plot), place = part('kr-pane');
  place.append(plot, titles.node, tags.node, cross.over, note, tip);
  el.replaceChildren(...(isTime() ? [cross.row] : []), place);
  // Read out as its summary. Nothing is announced by itself: the values change too often.
  el.tabIndex = 0;
  el.setAttribute('role', 'figure');
  el.setAttribute('aria-keyshortcuts', 'ArrowLeft ArrowRight + - Home Shift+ArrowLeft Shift+ArrowRight M L ?');
  const letKeysGo = keepKeys(el);
  const sections = () => (el.closest('.kr-dashboard') ? null : [CHART_KEYS]);  // a dashboard has a list of its own
  const endHelp = offerHelp(el, sections);
  const logButton = part('kr-log', null, 'button');
  Object.assign(logButton, {type: 'button', textContent: 'log', title: 'logarithmic scale of the price (l)'});
  if (priceAxesIn(model.get('spec').layout).length) cross.row.append(logButton);
  cross.row.append(helpButton(el, sections));

  let Plotly = null, isInView = false, isBusy = null, isDirty = false, isGone = false;
  let hasDrawn = false, link = null;
  // The ranges of time that were followed to and looked at last; and, while a range is dragged, the rest's timer.
  let followed = null, given = null, rest = 0;
  let colours = palette(model);  // computed once per theme: it makes the browser compute all styles
  const axis = 'xaxis';
  // The last picture before the end is made wherever the figure is on the page.
  const isWanted = () => isInView || Boolean(el.closest('[data-asked]'));
  const isVisible = () => isWanted() && !document.hidden && el.isConnected;

  function fill(data, layout) {
    for (const part of store.arrays.values()) {
      if (!data[part.trace]) continue;
      put(data[part.trace], part.path, part.wide ? rows2d(part) : part.values);
    }
    for (const band of model.get('spec').bands || []) fillBand(data, band);
    for (const [path, value] of Object.entries(resolve(store.layout, colours))) {
      if (!titles.takes(path, value)) put(layout, path, value);
    }
    for (const [path, value] of Object.entries(resolve(store.traces, colours))) {
      const dot = path.indexOf('.');
      put(data[+path.slice(0, dot)], path.slice(dot + 1), value);
    }
    for (const trace of data) hideIfEmpty(trace);
    if (store.follow && store.window && isTime()) {
      layout[axis].range = [...(followed = store.window)];
      layout[axis].autorange = false;
    }
    if (!putScale(data, layout, store.isLog)) store.setLog(false, NOT_LOG);
  }

  function draw() {  // resolves to the milliseconds spent, or FAILED; one drawing at a time
    // A drawing would take a range that is being dragged from under the hand.
    if (!Plotly || !isVisible() || rest) { isDirty = true; return Promise.resolve(0); }
    if (isBusy) return isBusy.then(draw);
    isBusy = page.turn.then(async () => {
      if (isGone) return 0;
      isDirty = false;
      const began = performance.now();
      fill(plot.data, plot.layout);
      await Plotly.redraw(plot);
      showPlaces();
      el.dataset.frame = store.seq;
      hasDrawn ||= !store.empty;
      const spent = performance.now() - began;
      await new Promise((done) => requestAnimationFrame(done));  // wait until it is on the screen
      return spent;
    }).catch((error) => {
      if (isGone) return 0;
      send({kind: 'error', text: String(error)});
      return FAILED;
    }).finally(() => { isBusy = null; });
    // The next figure is drawn once this one is on the screen: else the first would wait for the last.
    page.turn = isBusy;
    return isBusy;
  }

  async function plotAnew() {
    colours = palette(model);
    const spec = structuredClone(model.get('spec'));
    const {data, layout} = resolve({data: spec.data, layout: spec.layout}, colours);
    const height = layout.height;
    delete layout.height;
    plot.style.height = `${height}px`;
    el.style.setProperty('--kr-paper', colours.paper);
    if (!store.follow && plot.layout) {
      for (const name of Object.keys(layout).filter((each) => /^[xy]axis/.test(each))) {
        const before = plot.layout[name];
        if (before?.range && before.autorange === false) {
          Object.assign(layout[name], {range: before.range, autorange: false});
        }
      }
    }
    if (isTime()) {  // the crosshair and the line of values are there; a label is for the point that is pointed at
      layout[axis].showspikes = false;
      layout.hovermode = 'closest';
    }
    titles.takeAll(layout);
    cross.learn(data);
    fill(data, layout);
    const camera = {
      name: 'toImage', title: 'Download plot as a PNG', icon: Plotly.Icons.camera,
      click: () => Plotly.downloadImage(plot.asFigure(), {filename: 'kucoin', scale: 2, width: plot.clientWidth, height: plot.clientHeight}),
    };
    await Plotly.react(plot, data, layout, {
      responsive: false, displaylogo: false, scrollZoom: true, doubleClick: false,
      modeBarButtons: [[camera, 'zoom2d', 'pan2d', 'zoomIn2d', 'zoomOut2d']], showTips: false,
    });
    for (const drawn of plot.querySelectorAll('.main-svg')) drawn.setAttribute('aria-hidden', 'true');
    showPlaces();  // in the colours of a new theme
  }

  const bounds = () => plot._fullLayout[axis].range.map((each) => plot._fullLayout[axis].r2l(each));
  const range = () => (store.follow || !isTime() ? null : given || bounds());
  const isSame = (one, other) => Boolean(one && other) && one.every((each, which) => Math.abs(each - other[which]) < NEARLY);

  let edge = NaN;  // the end of the range that the keys have zoomed to, where it was that of the newest data
  function newest() {
    const ends = plot.data.map(({x}) => (x?.length ? x[x.length - 1] : NaN)).filter(Number.isFinite);
    return ends.length ? Math.max(...ends) : Infinity;
  }

  function onKey(event) {
    const {key} = event;
    if (event.target !== el || !Plotly) return;
    if (isTime() && hand.onKey(event)) { event.preventDefault(); return; }
    if (isForJupyter(event)) return;
    if (key === 'Home') follow();
    else if (key === 'l' && isTime()) toggleLog();
    else if (isTime() && (key in PANS || key in ZOOMS)) {
      const [from, to] = bounds(), width = to - from;
      const shift = (PANS[key] || 0) * width;
      // The newest data stay in sight where they are: while they are followed, and at each further press.
      const isAtEnd = store.follow || Math.abs(to - edge) < 1 || newest() <= to;
      const [before, after] = isAtEnd ? [1, 0] : [0.5, 0.5], grown = ((ZOOMS[key] || 1) - 1) * width;
      edge = isAtEnd && key in ZOOMS ? to : NaN;
      const wanted = [from + shift - before * grown, to + shift + after * grown];
      moveTo(wanted, true);
      link.move(wanted, true);
    } else return;
    event.preventDefault();
  }

  function tellView() {
    if (!Plotly || isGone) return;
    const px = Math.round(plot._fullLayout?.[axis]?._length || plot.clientWidth || 900);
    store.presence.tell({kind: 'view', visible: store.isVisible(), px, range: range()});
  }

  function followAlone() {
    store.follow = true;
    given = null;
    el.classList.remove('kr-zoomed');
    for (const [name, value] of Object.entries(plot.layout)) {
      if (/^[xy]axis/.test(name) && !model.get('spec').layout[name]?.range) value.autorange = true;
    }
    if (store.window && isTime()) Object.assign(plot.layout[axis], {range: [...store.window], autorange: false});
    tellView();
    draw();
  }
  const follow = () => (link ? link.follow() : followAlone());

  // Looks at a range of time, as another chart of the group does.
  function moveTo(wanted, isSettled) {
    given = [...wanted];
    store.follow = false;
    el.classList.add('kr-zoomed');
    Object.assign(plot.layout[axis], {range: [...wanted], autorange: false});
    if (isVisible()) Plotly.relayout(plot, {[`${axis}.range`]: [...wanted]}).then(showPlaces);
    else isDirty = true;
    if (isSettled) tellView();
  }

  function onRelayout(change) {
    const names = Object.keys(change);
    if (!names.some((name) => /^[xy]axis\d*\.range/.test(name))) return;
    el.classList.add('kr-zoomed');
    if (!names.some((name) => name.startsWith(`${axis}.range`))) return;
    endDrag();
    if (link && isSame(bounds(), given) && !isDragged) return;  // moved with another chart, or by its keys
    isDragged = false;
    given = bounds();
    store.follow = false;
    tellView();
    link?.move(given, true);
  }

  let isDragged = false;  // the others were moved along, and have not asked for the rows of the range yet
  function onRelayouting() {
    const now = bounds();
    // While a box is drawn, the range stands.
    if (isSame(now, store.follow ? followed : given)) return;
    isDragged = true;
    given = now;
    store.follow = false;
    el.classList.add('kr-zoomed');
    plot.layout[axis].range = [...now];
    clearTimeout(rest);
    rest = setTimeout(endDrag, DRAG_REST);
    showPlaces();
    link.move(now, false);
  }

  function endDrag() {
    clearTimeout(rest);
    rest = 0;
    if (plot._dragging) rest = setTimeout(endDrag, DRAG_REST);
    else if (isDirty && !isGone) drawAll(store);
  }

  function toggleLog() {
    if (!priceAxesIn(plot.layout).length) cross.tell('this chart has no axis of prices');
    else if (!store.isLog && !hasOnlyPositive(plot.data, plot.layout)) cross.tell(NOT_LOG);
    else store.setLog(!store.isLog);
  }

  // A mark may lie below a trade: of all marks near the pointer, the nearest is meant.
  function onClick({event}) {
    const {xaxis, yaxis} = plot._fullLayout, box = plot.getBoundingClientRect();
    const left = event.clientX - box.left - xaxis._offset, top = event.clientY - box.top - yaxis._offset;
    let best = null, least = MARK_REACH;
    for (const {meta, x, y} of plot.data) {
      for (let at = 0; meta === 'mark' && at < x.length; at++) {
        const away = Math.hypot(xaxis.d2p(x[at]) - left, yaxis.d2p(y[at]) - top);
        if (away < least) { least = away; best = {x: x[at], y: y[at]}; }
      }
    }
    if (best) send({kind: 'mark', ...best});
  }

  // Plotly's shapes cannot be hovered over, so the shade of a gap is found by its place.
  let pointer = null;
  function showGap() {
    const {xaxis, _size: size, width, height} = plot._fullLayout || {};
    const [x, y] = pointer || [-1, -1], right = x - xaxis?._offset;
    const isInside = xaxis && right >= 0 && right <= xaxis._length && y >= size.t && y <= height - size.b;
    const gap = isInside && (plot.layout.shapes || []).find((each) => each.name
      && right >= xaxis.d2p(each.x0) - GAP_REACH && right <= xaxis.d2p(each.x1) + GAP_REACH);
    tip.hidden = !gap;
    if (!gap) return;
    tip.textContent = gap.name;
    const half = tip.offsetWidth / 2;
    tip.style.left = `${Math.min(Math.max(x, half), Math.max(width - half, half))}px`;
    tip.style.top = `${size.t + 2}px`;
  }

  // Puts what lies above the chart in its place again, after the chart has moved.
  function showPlaces() {
    if (isGone) return;
    titles.place();
    if (!isTime()) return;
    if (pointer) showGap();
    if (link?.cross) link.refresh(); else hand.show(null);
  }

  // What a picture is made of, also by the dashboard around it.
  plot.asFigure = () => ({data: plot.data.map((each) => ({...each})), layout: titles.given(plot.layout)});

  const pane = {moveTo, followAlone, timeOf: (where) => hand.timeOf(where), show: (where) => hand.show(where)};
  const hand = pointing({
    el, plot, cross, own: pane, link: () => link, isFollowing: () => store.follow,
    measure: measureOf(plot, cross.over, (from, to) => candlesBetween(plot.data, cross.plan, from, to)),
    onPoint: (...where) => { pointer = where.length ? where : null; showGap(); },
  });

  async function keepStill(isLast) {
    if (isBusy) await isBusy;
    const {clientWidth: width, clientHeight: height} = plot;  // else all pictures get one default size
    const image = new Image();
    image.src = await Plotly.toImage(plot.asFigure(), {format: 'png', scale: 1, width, height});
    await image.decode();
    const [canvas, pen] = canvasOf(width, height, colours.paper);
    pen.drawImage(image, 0, 0, width, height);
    stamp(pen, width, height, model.get('caption'), colours.paper);
    const bytes = await pngOf(canvas);
    if (!isGone) send({kind: 'still', last: isLast}, [bytes]);
    delete el.dataset.asked;
  }
  const sightOf = (isAsked) => (model.get('keeps_still') && (hasDrawn || isAsked) && Plotly && isVisible() ? String(store.seq) : '');
  const still = pictures(sightOf, keepStill);
  const onMessage = (message) => {
    if (message.kind !== 'last') return;
    el.dataset.asked = '';
    onShown();
    still.ask();
  };

  const silence = silenceOf(isVisible, () => store.heard);
  function judge() {
    const unheard = silence();
    el.classList.toggle('kr-ended', store.line.isEnded);
    if (store.line.isEnded) el.dataset.doubt = 'not live any more: its kernel has ended';
    else if (store.trouble) el.dataset.doubt = `not up to date: ${store.trouble}`;
    else if (unheard) el.dataset.doubt = `not live: ${unheard}`;
    else delete el.dataset.doubt;
    const doubt = el.dataset.doubt?.split(':')[0], name = [doubt, store.summary || 'chart'].filter(Boolean).join('; ');
    if (el.getAttribute('aria-label') !== name) el.setAttribute('aria-label', name);
  }

  // JupyterLab hides its page while it takes another theme; plotly would draw a hidden chart in a default size.
  const onTheme = () => { if (Plotly) requestAnimationFrame(() => (isBusy || Promise.resolve()).then(() => isGone || plotAnew())); };
  const onSpec = () => { store.follow = true; onTheme(); };
  const onSymbol = () => { if (Plotly) follow(); };
  const onLog = (why) => {
    logButton.setAttribute('aria-pressed', String(store.isLog));
    if (why) cross.tell(why);
  };
  const onShown = () => { judge(); tellView(); if (isVisible() && isDirty) drawAll(store); };
  const sizes = new ResizeObserver(() => {
    if (!Plotly || plot.clientWidth < 10) return;
    Promise.resolve(Plotly.Plots.resize(plot)).then(() => { showPlaces(); tellView(); });
  });
  const sight = new IntersectionObserver((entries) => {
    isInView = entries[entries.length - 1].isIntersecting;
    onShown();
  });
  const themes = new MutationObserver(onTheme);
  const onTrouble = (error) => send({kind: 'error', text: String(error)});
  const stills = setInterval(() => still.look().catch(onTrouble), 250);
  const beats = setInterval(() => { judge(); store.presence.renew(); if (isVisible()) tags.place(); }, 1000);
  const view = {draw, isVisible, judge, onLog};
  judge();
  onLog();

  page.plotly.then(async (loaded) => {
    if (isGone) return;
    Plotly = loaded;
    await plotAnew();
    if (isGone) return Plotly.purge(plot);  // closed meanwhile
    if (isTime()) {
      link = linkTo(model, pane);
      plot.on('plotly_relayouting', onRelayouting);
    }
    plot.on('plotly_relayout', onRelayout);
    plot.on('plotly_click', onClick);
    tags.watch();
    plot.on('plotly_doubleclick', () => { follow(); return false; });
    note.addEventListener('click', () => { follow(); el.focus({preventScroll: true}); });
    logButton.addEventListener('click', toggleLog);
    el.addEventListener('keydown', onKey);
    store.views.add(view);
    sizes.observe(el);
    sight.observe(el);
    document.addEventListener('visibilitychange', onShown);
    addEventListener('pagehide', store.presence.leave);
    themes.observe(document.body, {attributes: true, attributeFilter: ['data-jp-theme-light', 'data-jp-theme-name', 'class']});
    model.on('change:spec', onSpec);
    model.on('change:caption', onSymbol);
    model.on('msg:custom', onMessage);
    el.addEventListener('kr-asked', onShown);
    send({kind: 'hello'});
    tellView();
  });

  return () => {
    store.views.delete(view);
    tellView();
    isGone = true;
    link?.leave();
    hand.end(); cross.end(); endHelp();
    clearTimeout(rest);
    sizes.disconnect(); sight.disconnect(); themes.disconnect();
    clearInterval(stills); clearInterval(beats);
    askNoMore();
    document.removeEventListener('visibilitychange', onShown);
    removeEventListener('pagehide', store.presence.leave);
    model.off('change:spec', onSpec);
    model.off('change:caption', onSymbol);
    model.off('msg:custom', onMessage);
    el.removeEventListener('keydown', onKey);
    letKeysGo();
    if (Plotly) Plotly.purge(plot);
    el.replaceChildren();
  };
}

// The store is opened here and not in render: it must outlive a view, and serves all views.
function initialize({model}) {
  const uid = model.get('uid');
  page.stores.set(uid, openStore(model));
  letGoOfParts(model);
  return () => page.stores.delete(uid);
}

export default {initialize, render};
