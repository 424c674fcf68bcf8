// What lies above a chart and beside it: the crosshair, its tags on the axes, and the line of values. These are
// elements of their own, so a move of the pointer draws no chart.
const TAG = 84;  // px of a time, at most

function part(name, parent, tag = 'div') {
  const made = document.createElement(tag);
  made.className = name;
  parent?.append(made);
  return made;
}

function say(node, text) { if (node.textContent !== text) node.textContent = text; }

// The scales of a plot as it is drawn now: from numbers that plotly keeps, so nothing is laid out for them.
function scalesOf(plot) {
  const full = plot._fullLayout, {xaxis, _size: size} = full || {};
  if (!xaxis?._length || !size) return null;
  const [from, to] = xaxis.range.map((each) => xaxis.r2l(each)), left = xaxis._offset, width = xaxis._length;
  const names = new Set(plot.data.filter(isOnTime).map((trace) => `yaxis${(trace.yaxis || 'y').slice(1)}`));
  const panels = [...names].map((name) => full[name]).filter((each) => each?._length && each.visible);
  return {
    from, to, left, width, whole: full.width, top: size.t, height: size.h,
    xOf: (time) => left + (time - from) / (to - from) * width,
    timeAt: (x) => from + (x - left) / width * (to - from),
    holds: (x, y) => x >= left && x <= left + width && y >= size.t && y <= size.t + size.h,
    panelAt: (y) => panels.find((each) => y >= each._offset && y <= each._offset + each._length),
    panelOf: (name) => panels.find((each) => each._name === name),
  };
}

// Where a value is on a vertical axis, px; and the value at a place, as exact as a pixel is.
const placeOn = (panel, value) => panel._offset + panel.d2p(value);
function valueOn(panel, y) {
  const [value, next] = [0, 1].map((more) => panel.p2d(y - panel._offset + more));
  const places = Math.ceil(-Math.log10(Math.abs(next - value)));
  return Number(value.toFixed(Math.min(Math.max(places, 0), 15)));
}

function crosshair(plot) {
  const over = part('kr-over'), upright = part('kr-upright', over), level = part('kr-level-line', over);
  const timeTag = part('kr-axis-tag', over), valueTag = part('kr-axis-tag', over);
  over.setAttribute('aria-hidden', 'true');
  over.dataset.on = 'no';
  const row = part('kr-values'), notice = part('kr-notice', row, 'span'), clock = part('kr-clock', row, 'time');
  const list = part('kr-list', row, 'span'), heard = part('kr-heard', row, 'span');
  for (const each of [notice, heard]) each.setAttribute('role', 'status');
  let plan = [], shown = [], waiting = 0;

  function showValues(time) {
    const {data} = plot, newest = newestOf(data, plan), at = time ?? newest;
    say(clock, Number.isFinite(at) ? clockOf(at) : '');
    const found = Number.isFinite(newest) ? readings(data, plan, time, gapsOf(plot)) : [];
    if (found.length !== shown.length || found.some(([label], place) => label !== shown[place].label)) {
      shown = found.map(([label]) => {
        const box = part('kr-reading', null, 'span');
        say(part('', box, 'i'), label);
        return {label, box, value: part('', box, 'b')};
      });
      list.replaceChildren(...shown.map(({box}) => box));
    }
    found.forEach(([, text], place) => say(shown[place].value, text));
  }

  function showLines(scales, time, y) {
    const x = scales.xOf(time), isSeen = x >= scales.left && x <= scales.left + scales.width;
    const panel = isSeen && y !== null ? scales.panelAt(y) : null;
    over.dataset.on = isSeen ? 'yes' : 'no';
    upright.style.cssText = `transform: translate(${x}px, ${scales.top}px); height: ${scales.height}px`;
    const middle = Math.min(Math.max(x, TAG / 2), scales.whole - TAG / 2);
    timeTag.style.cssText = `transform: translate(${middle}px, ${scales.top + scales.height}px) translateX(-50%)`;
    say(timeTag, clockOf(time));
    level.hidden = valueTag.hidden = !panel;
    if (!panel) return;
    level.style.cssText = `transform: translate(${scales.left}px, ${y}px); width: ${scales.width}px`;
    const isLeft = panel.side !== 'right', edge = isLeft ? scales.left : scales.left + scales.width;
    valueTag.style.cssText = `transform: translate(${edge}px, ${y}px) translate(${isLeft ? '-100%' : '0'}, -50%)`;
    say(valueTag, written(valueOn(panel, y)));
  }

  return {
    row, over, heard,
    get plan() { return plan; },
    learn(data) { plan = planOf(data); },
    // Without a time: no crosshair, and the newest values; those before `edge` where a range is looked at.
    show(time, y, edge) {
      const scales = scalesOf(plot);
      if (!scales) return;
      if (time === null) over.dataset.on = 'no'; else showLines(scales, time, y);
      showValues(time ?? (edge === null ? null : Math.min(edge, newestOf(plot.data, plan))));
    },
    tell(text) {  // in place of the values, for a while
      say(notice, text);
      row.classList.add('kr-noticed');
      clearTimeout(waiting);
      waiting = setTimeout(() => { say(notice, ''); row.classList.remove('kr-noticed'); }, 6000);
    },
    hear(more) {  // the values, for those who move the crosshair by the keys
      const facts = shown.map(({label, value}) => `${label} ${value.textContent}`);
      say(heard, [clock.textContent, ...facts, more].filter(Boolean).join(', '));
    },
    end() { clearTimeout(waiting); },
  };
}

// Begin and end of each gap that is shaded and was not filled.
const gapsOf = (plot) => (plot.layout.shapes || [])
  .filter(({type, name}) => type === 'rect' && name && !name.startsWith('filled')).map(({x0, x1}) => [x0, x1]);
