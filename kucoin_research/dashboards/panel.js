// The panel of a dashboard: texts by name, each put into its place. Only changed texts arrive.
const DECISION_ROWS = 200;
const page = (globalThis.__kucoinPanels ??= new Map());  // by uid, since a panel may have several views
const SPEEDS = [['0.1', '×0.1'], ['0.5', '×0.5'], ['1', '×1'], ['2', '×2'], ['5', '×5'], ['10', '×10'],
  ['50', '×50'], ['100', '×100'], ['500', '×500'], ['1000', '×1000'], ['max', 'max']];
const ICONS = {
  play: 'M4 2.5v11l9-5.5z', pause: 'M4 2.5h3v11H4zM9 2.5h3v11H9z',
  next: 'M2 2.5v11l6-5.5zM8 2.5v11l6-5.5z', older: 'M11 2.5v11L4 8z', newer: 'M5 2.5v11l7-5.5z',
  step: 'M3 2.5v11l7-5.5zM11 2.5h2v11h-2z', rewind: 'M13 2.5v11L6 8zM3 2.5h2v11H3z',
};
const STRIDES = [[1, 'trades', 'next trade'], [1, 'rows', '1 row'], [10, 'rows', '10 rows'], [100, 'rows', '100 rows'],
  [1, 'seconds', '1 s'], [10, 'seconds', '10 s'], [60, 'seconds', '1 min']];
// The arrow keys move the slider by the first of these lengths that is a hundredth of the whole; ms.
const MOVES = [1, 10, 100, 500, 1e3, 2e3, 5e3, 10e3, 15e3, 30e3, 60e3, 300e3, 600e3, 900e3, 1800e3, 3600e3, 14400e3, 86400e3];
const NEAR = 1e-3;  // ms
const SEEK_AFTER = 250;  // ms after the last key

function make(tag, name, ...inside) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  made.append(...inside);
  return made;
}

function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', '0 0 16 16');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  path.setAttribute('d', ICONS[name]);
  svg.append(path);
  return svg;
}

function put(node, text) { if (node.textContent !== text) node.textContent = text; }

function head(flag) {
  const symbol = make('span', 'kr-symbol-name'), place = make('span', 'kr-place');
  const led = make('span', 'kr-led'), word = make('b', 'kr-word'), reason = make('span', 'kr-reason');
  const facts = make('span', 'kr-facts');
  const more = make('span', 'kr-more', '▾'), said = make('span', 'kr-said');
  const badge = make('button', 'kr-badge', led, word, reason, flag, more);
  badge.type = 'button';
  for (const each of [led, more]) each.setAttribute('aria-hidden', 'true');
  said.setAttribute('role', 'status');
  const opens = 'press for alerts, the latency histogram and events';
  badge.title = opens;
  badge.setAttribute('aria-expanded', 'false');
  const node = make('div', 'kr-head', make('div', 'kr-name', symbol, place),
    make('div', 'kr-health', facts, badge, said));
  return {node, badge, tell: {
    name: ([name, where]) => { put(symbol, name); put(place, where); },
    badge: ([colour, its, why, all = why]) => {
      // Read out once as the colour changes, not with each new second of a reason.
      if (badge.dataset.colour && badge.dataset.colour !== colour) put(said, `data ${its}${why ? `: ${why}` : ''}`);
      badge.dataset.colour = colour;
      badge.title = all ? `${all}\n${opens}` : opens;
      put(word, its);
      put(reason, why);
    },
    facts: (all) => facts.replaceChildren(...all.map(([label, value]) =>
      make('span', 'kr-fact', make('i', '', label), make('b', '', value)))),
  }};
}

// A part that scrolls can be reached by Tab, so that the arrow keys scroll it.
function scrolling(node, name) {
  node.tabIndex = 0;
  node.setAttribute('role', 'region');
  node.setAttribute('aria-label', name);
  return node;
}

function drawer(alerts) {
  const bars = make('div', 'kr-hist'), traces = make('div', 'kr-traces');
  const list = scrolling(make('div', 'kr-events'), 'events, the newest first');
  const node = make('section', 'kr-drawer',
    make('div', 'kr-half', make('h4', '', 'latency: share of the newest rows by ms'), bars),
    make('div', 'kr-half', make('h4', '', 'events, the newest first'), list), traces, alerts);
  node.hidden = true;
  return {node, tell: {
    hist: (all) => {
      const most = Math.max(1, ...all.map(([, share]) => share));
      bars.replaceChildren(...(all.length ? all.map(([label, share]) => {
        const bar = make('i', 'kr-bin');
        bar.style.width = `${100 * share / most}%`;
        return make('div', 'kr-row', make('span', '', label), make('span', 'kr-rail', bar),
          make('b', '', `${share}%`));
      }) : [make('p', 'kr-none', 'no latency is known: nothing streams, or its clock is not the wall’s')]));
    },
    traces: (all) => traces.replaceChildren(...all.map(([at, name, trace]) => make('div', 'kr-half',
      make('h4', '', `${name} raised at ${at}, and is called no more`), scrolling(make('pre', 'kr-trace', trace), `error of ${name}`)))),
    events: (all) => list.replaceChildren(...(all.length ? all.map(([at, event, of, detail]) => {
      const row = make('div', 'kr-row', make('time', '', at), make('b', '', event), make('span', '', of),
        make('span', 'kr-detail', detail));
      row.dataset.event = event;
      return row;
    }) : [make('p', 'kr-none', 'nothing has happened yet')])),
  }};
}

function bar(send) {
  const button = (name, title) => {
    const made = make('button', `kr-${name}`, icon(name));
    made.type = 'button';
    nameIt(made, title);
    made.addEventListener('click', () => send({kind: name}));
    return made;
  };
  const choice = (name, title, all) => {
    const made = make('select', `kr-${name}`, ...all.map(([value, label]) => {
      const option = make('option', '', label);
      option.value = value;
      return option;
    }));
    nameIt(made, title);
    return made;
  };
  const back = button('rewind', 'to the beginning'), play = button('play', 'play'), pause = button('pause', 'pause');
  const step = make('button', 'kr-step', icon('step'));
  step.type = 'button';
  const stride = choice('stride', 'length of a step', STRIDES.map(([,, label], which) => [which, label]));
  stride.value = 1;
  const nameStep = () => nameIt(step, `pause, and one step on: ${STRIDES[stride.value][2]}`);
  nameStep();
  stride.addEventListener('change', nameStep);
  step.addEventListener('click', () => {
    const [count, unit] = STRIDES[stride.value];
    send({kind: 'step', count, unit});
  });
  const speed = choice('speed', 'speed', SPEEDS);
  speed.addEventListener('change', () => send({kind: 'speed', speed: speed.value}));
  const slider = make('input', 'kr-seek');
  Object.assign(slider, {type: 'range', min: 0, max: 10000, step: 1, value: 0});
  slider.setAttribute('aria-label', 'position');
  const marks = make('div', 'kr-marks'), done = make('i', 'kr-done'), thumb = make('output', 'kr-thumb');
  const first = make('time', 'kr-first'), here = make('time', 'kr-here'), last = make('time', 'kr-last');
  // The slider lies above the marks, so it shows their words itself: under the pointer or the knob.
  const tip = make('div', 'kr-gap-tip');
  tip.setAttribute('role', 'status');
  tip.hidden = true;
  let holes = [];
  const showGap = (share) => {
    const reach = 3 / (slider.clientWidth || 1);
    const hole = holes.find(([from, to]) => share >= from - reach && share <= to + reach);
    tip.hidden = !hole;
    if (!hole) return;
    put(tip, hole[2]);
    tip.style.left = `${100 * Math.min(Math.max(share, 0.15), 0.85)}%`;
  };
  const showGapAtKnob = () => showGap(at);
  slider.addEventListener('focus', showGapAtKnob);
  for (const kind of ['pointermove', 'pointerdown']) {
    slider.addEventListener(kind, ({offsetX}) => showGap(offsetX / slider.clientWidth));
  }
  for (const kind of ['pointerleave', 'blur']) slider.addEventListener(kind, () => { tip.hidden = true; });
  thumb.hidden = true;
  thumb.setAttribute('aria-hidden', 'true');  // the slider's own text says it
  let isHeld = false, times = [0, 0, 'UTC', 0], label = () => '', waiting = 0, at = 0;
  const show = (share) => {  // where the thumb is going
    at = share;  // exactly, unlike the slider's own value
    slider.value = Math.round(10000 * share);
    done.style.width = `${100 * share}%`;
    thumb.hidden = false;
    thumb.style.left = `${100 * share}%`;
    put(thumb, label(times[0] + share * (times[1] - times[0])));
    slider.setAttribute('aria-valuetext', thumb.textContent);
    showGap(share);
  };
  const release = () => { isHeld = false; thumb.hidden = true; };
  const seek = () => {
    clearTimeout(waiting);
    waiting = 0;
    release();
    send({kind: 'seek', at});
  };
  slider.addEventListener('pointerdown', () => { isHeld = true; });
  for (const name of ['pointerup', 'pointercancel']) slider.addEventListener(name, release);
  slider.addEventListener('input', () => show(slider.value / 10000));
  slider.addEventListener('change', seek);
  slider.addEventListener('keydown', (event) => {
    const share = isForJupyter(event) ? null : moved(event.key, at, times);
    if (share === null) return;
    event.preventDefault();
    isHeld = true;
    show(share);
    clearTimeout(waiting);
    waiting = setTimeout(seek, SEEK_AFTER);  // once for all keys of a run
  });
  slider.addEventListener('blur', () => { if (waiting) seek(); });
  const node = make('section', 'kr-bar', make('div', 'kr-keys', back, play, pause, step, stride, speed),
    make('div', 'kr-line-of-time', make('div', 'kr-track', done, marks, slider, thumb, tip),
      make('div', 'kr-times', first, here, last)));
  node.hidden = true;
  return {node, tell: {
    bar: (state) => {
      node.hidden = !state;
      if (!state) return;
      node.dataset.state = state.state;
      const hasFocus = [play, pause].includes(document.activeElement);
      play.hidden = state.state === 'playing';
      pause.hidden = !play.hidden;
      if (hasFocus) (play.hidden ? pause : play).focus();  // one stands in the other's place
      put(here, state.here);
      if (speed.value !== state.speed) {
        if (![...speed.options].some((each) => each.value === state.speed)) {
          const option = make('option', '', `×${state.speed}`);
          option.value = state.speed;
          speed.append(option);
        }
        speed.value = state.speed;
      }
      if (!isHeld) {
        at = state.at;
        slider.value = Math.round(10000 * at);
        done.style.width = `${100 * state.at}%`;
      }
      // While it plays, a slider that has the focus would be read out all the time.
      const isRead = document.activeElement === slider && state.state === 'playing';
      if (!isHeld && !isRead) slider.setAttribute('aria-valuetext', state.here);
    },
    times: (all) => { times = all; label = labelOf(all); },
    span: ([from, to]) => { put(first, from); put(last, to); },
    gaps: (all) => marks.replaceChildren(...(holes = all).map(([from, to]) => {
      const mark = make('i', 'kr-gap');
      mark.style.left = `${100 * from}%`;
      mark.style.width = `${100 * Math.max(to - from, 0)}%`;
      return mark;
    })),
  }};
}

function nameIt(node, name) {
  node.title = name;
  node.setAttribute('aria-label', name);
}

// The share of the whole that a key moves the slider to; null for other keys. It goes to the next round time of the labels.
function moved(key, share, [from, to, , offset]) {
  const whole = to - from, now = from + share * whole + offset;
  const small = MOVES.find((each) => 100 * each >= whole) ?? whole / 100;
  const large = MOVES.findLast((each) => each > small && each <= 10 * small) ?? 10 * small;
  // A time of today has a resolution of about 0.0002 ms here: less than NEAR from a round one, it is that one.
  // Half of that behind it: a place before it, by that resolution, would be shown as the ms before.
  const round = (count, length) => count * length - offset + NEAR / 2;
  const next = (length) => round(Math.floor((now + NEAR) / length) + 1, length);
  const before = (length) => round(Math.ceil((now - NEAR) / length) - 1, length);
  const wanted = {
    ArrowRight: () => next(small), ArrowUp: () => next(small), ArrowLeft: () => before(small), ArrowDown: () => before(small),
    PageUp: () => next(large), PageDown: () => before(large), Home: () => from, End: () => to,
  }[key];
  return wanted ? Math.min(Math.max((wanted() - from) / (whole || 1), 0), 1) : null;
}

// Returns the function that writes a time, ms UTC, in the time zone of the labels.
function labelOf([from, to, zone, offset]) {
  const hasDays = to - from > 72e6, hasParts = to - from < 120e3;
  const how = {hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23',
    ...(hasDays && {day: 'numeric', month: 'short'}), ...(hasParts && {fractionalSecondDigits: 1})};
  // The kernel's own zone has no name here: its offset at the start stands for it.
  const isNamed = zone !== 'local' && isZone(zone);
  const format = new Intl.DateTimeFormat('en-GB', {...how, timeZone: isNamed ? zone : 'UTC'});
  return (ms) => format.format(isNamed ? ms : ms + offset);
}

function isZone(name) {
  try { return Boolean(new Intl.DateTimeFormat('en-GB', {timeZone: name})); } catch { return false; }  // not known to this browser
}

// A strategy: its account, what it has done, and the moment of one fill or note.
function run(send) {
  const button = (name, title, act) => {
    const made = make('button', `kr-${name}`, icon(name));
    made.type = 'button';
    nameIt(made, title);
    made.addEventListener('click', act);
    return made;
  };
  const name = make('b', 'kr-run-name'), state = make('span', 'kr-run-state'), account = make('div', 'kr-account');
  const next = button('next', 'play to the next fill or note', () => send({kind: 'next'}));
  next.hidden = true;  // until there is a replay
  const list = make('div', 'kr-decisions'), none = make('p', 'kr-none', 'no fill and no note yet');
  list.setAttribute('role', 'group');
  list.setAttribute('aria-label', 'fills and notes, the newest first');
  list.addEventListener('keydown', (event) => {  // Tab stops once in the list, arrow keys move within
    const rows = [...list.children], from = rows.indexOf(document.activeElement);
    const to = {ArrowDown: from + 1, ArrowUp: from - 1, Home: 0, End: rows.length - 1}[event.key];
    if (to === undefined || from < 0 || isForJupyter(event)) return;
    event.preventDefault();
    rows[Math.min(Math.max(to, 0), rows.length - 1)].focus();
  });
  list.addEventListener('focusin', (event) => stopAt(event.target));
  const stopAt = (row) => { for (const each of list.children) each.tabIndex = each === row ? 0 : -1; };
  const detail = scrolling(make('div', 'kr-moment'), 'the moment chosen');
  let number = 0;
  const choose = (which) => send({kind: 'moment', number: which});
  const older = button('older', 'the one before', () => choose(number - 1));
  const newer = button('newer', 'the one after', () => choose(number + 1));
  const row = ([which, at, side, price, size, words]) => {
    const made = make('button', 'kr-decision', make('time', '', at),
      make('b', '', side === 'buy' ? '▲ buy' : side === 'sell' ? '▼ sell' : '◆ note'),
      make('span', 'kr-number', price), make('span', 'kr-number', size), make('span', 'kr-detail', words));
    made.type = 'button';
    made.title = words;
    Object.assign(made.dataset, {side, number: which});
    made.addEventListener('click', () => choose(+which));
    return made;
  };
  const table = (title, rows) => make('div', 'kr-facts-of', make('h4', '', title), ...rows.map(([label, value]) =>
    make('div', 'kr-pair', make('span', '', label), make('b', '', value))));
  const sides = ([bids, asks]) => make('div', 'kr-facts-of kr-levels', make('h4', '', 'book: size, bid, ask, size'),
    ...(bids.length + asks.length ? Array.from({length: Math.max(bids.length, asks.length)}, (_, at) => {
      const [bid, bidSize] = bids[at] || ['', ''], [ask, askSize] = asks[at] || ['', ''];
      return make('div', 'kr-level', make('span', '', bidSize), make('b', 'kr-bid', bid), make('b', 'kr-ask', ask), make('span', '', askSize));
    }) : [make('p', 'kr-none', 'not known any more')]));
  const node = make('section', 'kr-run', make('div', 'kr-run-head', name, state, next, account),
    make('div', 'kr-run-body', make('div', 'kr-half', none, list), detail));
  node.hidden = true;
  const tell = {
    run: (value) => {
      node.hidden = !value;
      if (!value) return;
      put(name, value[0]);
      put(state, value[1]);
    },
    account: (all) => account.replaceChildren(...all.map(([label, value, tone]) => {
      const fact = make('span', 'kr-fact', make('i', '', label), make('b', '', value));
      fact.dataset.tone = tone;
      fact.dataset.fact = label;
      return fact;
    })),
    decisions: ({all, add}) => {
      const focused = list.contains(document.activeElement) ? document.activeElement.dataset.number : null;
      const stop = [...list.children].find((each) => each.tabIndex === 0)?.dataset.number;
      if (all) list.replaceChildren();
      list.prepend(...(all || add).map(row).reverse());
      while (list.childElementCount > DECISION_ROWS) list.lastElementChild.remove();
      const rowOf = (which) => [...list.children].find((each) => each.dataset.number === which);
      stopAt(rowOf(stop) || list.firstElementChild);
      if (focused !== null) (rowOf(focused) || list.firstElementChild)?.focus();
      none.hidden = list.childElementCount > 0;
    },
    moment: (moment) => {
      const isChosen = moment && 'number' in moment;
      detail.dataset.number = isChosen ? moment.number : '';
      for (const each of list.children) each.setAttribute('aria-pressed', String(isChosen && +each.dataset.number === moment.number));
      if (!isChosen) {
        detail.replaceChildren(make('p', 'kr-none', 'press a fill or a note, here or on the chart: its record, book and order appear'));
        return;
      }
      number = moment.number;
      const focused = document.activeElement;
      detail.replaceChildren(make('div', 'kr-moment-head', older, make('b', '', moment.title), newer),
        table('moment', moment.facts), table('newest record then', moment.record), sides(moment.book));
      if (focused === older || focused === newer) focused.focus();
    },
    bar: (state) => { next.hidden = !state; },
  };
  tell.moment(null);
  return {node, tell};
}

function foot() {
  const line = make('span', 'kr-line'), numbers = make('span', 'kr-numbers');
  line.setAttribute('role', 'status');
  return {node: make('div', 'kr-status', line, numbers), tell: {
    line: ([text, tone]) => { put(line, text); line.dataset.tone = tone; },
    numbers: (text) => put(numbers, text),
  }};
}

// Paints the dashboard on a canvas, for the saved notebook; places and colours are read from the page.
async function picture(root, name) {
  const box = root.getBoundingClientRect(), ground = getComputedStyle(root).backgroundColor;
  const [canvas, pen] = canvasOf(box.width, box.height, ground);
  const place = (node) => {  // relative to the root, since the page may be scrolled meanwhile
    const home = root.getBoundingClientRect(), {left, top, width, height} = node.getBoundingClientRect();
    return [left - home.left, top - home.top, width, height];
  };
  for (const plot of root.querySelectorAll('.js-plotly-plot')) {
    const [x, y, width, height] = place(plot);
    if (!width || !height || !plot.asFigure) continue;
    const image = new Image();
    image.src = await globalThis.Plotly.toImage(plot.asFigure(), {format: 'png', width, height, scale: 1});
    await image.decode();
    pen.drawImage(image, x, y, width, height);
  }
  for (const node of root.querySelectorAll('.kr-tag, .kr-tile, .kr-badge, .kr-led, button, select, input, .kr-gap, .kr-done, .kr-track, .kr-bin, .kr-size-bar')) {
    const [x, y, width, height] = place(node), style = getComputedStyle(node);
    if (!width || node.closest('[hidden], .kr-figure') || node.matches('.kr-seek, .kr-help')) continue;
    pen.beginPath();
    if (style.clipPath !== 'none') {  // the triangle of an amber badge
      pen.moveTo(x + width / 2, y);
      pen.lineTo(x + width, y + height);
      pen.lineTo(x, y + height);
    } else pen.roundRect(x, y, width, height, parseFloat(style.borderTopLeftRadius) || 0);
    pen.fillStyle = style.backgroundColor;
    pen.fill();
    if (parseFloat(style.borderTopWidth)) { pen.strokeStyle = style.borderTopColor; pen.stroke(); }
    const text = node.matches('input') ? node.value : node.matches('select') ? node.selectedOptions[0]?.label : '';
    if (text) write(pen, text, style, x + 8, y + height / 2);
  }
  for (const path of root.querySelectorAll('.kr-keys path')) {
    const [x, y, width] = place(path.ownerSVGElement);
    if (!width) continue;
    pen.save();
    pen.translate(x, y);
    pen.scale(width / 16, width / 16);
    pen.fillStyle = getComputedStyle(path).fill;
    pen.fill(new Path2D(path.getAttribute('d')));
    pen.restore();
  }
  const home = root.getBoundingClientRect(), walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode());) {
    const parent = node.parentElement, text = node.data.trim();
    if (!text || parent.closest('[hidden], svg, select, style, script, pre, .modebar, .kr-note, .kr-said, .kr-help, .kr-values, .kr-over, .kr-axis-titles, dialog')) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const spot = range.getBoundingClientRect(), around = parent.getBoundingClientRect();
    if (!spot.width || spot.bottom > home.bottom || spot.bottom > hiddenBelow(parent, root)) continue;
    pen.save();
    pen.beginPath();
    pen.rect(around.left - home.left - 1, around.top - home.top - 1, around.width + 2, around.height + 2);
    pen.clip();
    write(pen, text, getComputedStyle(parent), spot.left - home.left, spot.top - home.top + spot.height / 2);
    pen.restore();
  }
  stamp(pen, box.width, box.height, name, ground);
  return pngOf(canvas);
}

function hiddenBelow(node, root) {
  const frame = node.closest('.kr-tape, .kr-events, .kr-decisions, .kr-moment, .kr-own-orders');
  return frame && root.contains(frame) ? frame.getBoundingClientRect().bottom : Infinity;
}

function write(pen, text, style, x, middle) {
  pen.fillStyle = style.color;
  pen.globalAlpha = parseFloat(style.opacity);
  pen.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
  pen.letterSpacing = style.letterSpacing === 'normal' ? '0px' : style.letterSpacing;
  pen.textBaseline = 'middle';
  pen.fillText(style.textTransform === 'uppercase' ? text.toUpperCase() : text, x, middle);
  pen.globalAlpha = 1;
}

function render({model, el}) {
  const line = lineTo(model, () => judge()), send = line.send;
  const uid = model.get('uid');
  if (!page.has(uid)) {
    const views = new Set();
    page.set(uid, {views, here: presence(line, () => [...views].some((each) => each.isVisible()))});
  }
  const {views, here} = page.get(uid);
  let heard = 0, lastBadge = null;
  el.classList.add('kr-panel');
  const alerts = alertsPart(send);
  const parts = [head(alerts.flag), drawer(alerts.node), tiles(), tape(send), bar(send), run(send), foot(), watchList(send), ownAccount()];
  el.replaceChildren(...parts.map((part) => part.node));
  const tellers = [...parts, alerts].map((part) => part.tell);
  const tell = (name, value) => { for (const each of tellers) each[name]?.(value); };
  const [{badge}, {node: drawerNode}, tilesPart, tapePart, barPart, runPart, footPart, watchPart, ownPart] = parts;
  badge.addEventListener('click', () => {
    drawerNode.hidden = !drawerNode.hidden;
    badge.setAttribute('aria-expanded', String(!drawerNode.hidden));
    tellView();
  });

  let isInView = false, isGone = false, hasPrice = false;
  const onMessage = (message) => {
    heard = Date.now();
    judge();
    if (message.kind === 'last' && root()) askForLast();
    if (message.kind === 'alarm') alerts.alarm(message);
    if (message.kind !== 'texts' || !isForUs(message)) return;
    const began = performance.now();
    lastBadge = message.texts.badge || lastBadge;
    for (const [name, value] of Object.entries(message.texts)) tell(name, value);
    el.dataset.seq = message.seq;
    // A picture is kept only once there is a price.
    if (message.texts['tile:last'] && message.texts['tile:last'][0] !== '–') hasPrice = true;
    const ms = performance.now() - began;
    // Acknowledged once it is on the screen: the kernel judges by that how old the screen is.
    requestAnimationFrame(() => setTimeout(() => line.drawn(message.seq, ms)));
  };
  const isVisible = () => (isInView || root()?.dataset.asked === '') && !document.hidden && el.isConnected;
  const tellView = () => {
    judge();
    const all = [...views];
    here.tell({kind: 'view', visible: all.some((each) => each.isVisible()), open: all.some((each) => each.isOpen())});
  };
  const view = {isVisible, isOpen: () => !drawerNode.hidden};
  const silence = silenceOf(isVisible, () => heard);
  function judge() {  // while the kernel is silent, the last badge may be wrong
    const doubt = line.isEnded ? 'its kernel has ended' : silence();
    if (doubt) tell('badge', ['red', 'lost', doubt]);
    else if (el.dataset.doubt && lastBadge) tell('badge', lastBadge);
    el.dataset.doubt = doubt;
  }
  const root = () => el.closest('.kr-dashboard');

  async function keepStill(isLast) {
    const name = root().querySelector('.kr-symbol-name').textContent;
    const bytes = await picture(root(), name);
    if (!isGone) send({kind: 'still', last: isLast}, [bytes]);
    delete root()?.dataset.asked;
  }
  const sightOf = (isAsked) => {
    const charts = root() ? [...root().querySelectorAll('.kr-figure')] : [];
    const isDrawn = charts.some((each) => each.querySelector('.js-plotly-plot'));
    return isDrawn && (hasPrice || isAsked) && isVisible() ? [el.dataset.seq, ...charts.map((each) => each.dataset.frame)].join() : '';
  };
  const still = pictures(sightOf, keepStill);
  function askForLast() {  // the charts are to show the last data, too, even where nobody looks
    root().dataset.asked = '';
    for (const each of root().querySelectorAll('.kr-figure, .kr-ladder')) each.dispatchEvent(new Event('kr-asked'));
    tellView();
    still.ask();
  }

  const sight = new IntersectionObserver((entries) => {
    isInView = entries.some((entry) => entry.isIntersecting) || root()?.matches(':hover') || false;
    tellView();
  });
  let endAccess = () => {};
  const watchRoot = () => {  // once ipywidgets has made all parts of the dashboard
    if (isGone) return;
    if (!root() || !placesIn(root()).every(Boolean)) { setTimeout(watchRoot, 50); return; }
    sight.observe(root());
    placeInOrder(root(), {
      above: [watchPart.node, tilesPart.node, barPart.node], below: [tapePart.node, ownPart.node, runPart.node, footPart.node],
    });
    endAccess = makeAccessible(root());
  };
  const stills = setInterval(() => still.look().catch((error) => send({kind: 'error', text: String(error)})), 250);
  const beats = setInterval(() => { judge(); here.renew(); }, 1000);
  model.on('msg:custom', onMessage);
  document.addEventListener('visibilitychange', tellView);
  addEventListener('pagehide', here.leave);
  views.add(view);
  watchRoot();
  send({kind: 'hello'});

  return () => {
    isGone = true;
    views.delete(view);
    tellView();
    if (!views.size) page.delete(uid);
    clearInterval(stills); clearInterval(beats);
    endAccess();
    for (const each of parts) each.node.remove();  // wherever it has been placed
    sight.disconnect();
    document.removeEventListener('visibilitychange', tellView);
    removeEventListener('pagehide', here.leave);
    model.off('msg:custom', onMessage);
    el.replaceChildren();
    model.off('comm_live_update', line.end);
  };
}

export default {initialize: ({model}) => letGoOfParts(model), render};
