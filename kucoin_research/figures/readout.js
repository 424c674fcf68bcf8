// The values of a chart at a time, written as its hover texts write them. Nothing here knows the page.
const NONE = '–', ABOUT = '≈ ';
const FORMAT = /^(\+?)(,?)(?:\.(\d+))?(~?)([rf])$/, IN_FULL = ',.15~r';
// Words, value and unit of a hover text such as `spread %{y:.3f} bps<extra></extra>`; and those of a trade.
const VALUE = /^([^%<]*)%\{y(?::([^}]*))?\}([^%<]*)/;
const TRADE = /^([^%<]*)%\{customdata\[0\]:([^}]*)\}([^%<]*) at %\{y:([^}]*)\}/;
const ROUNDING = 5e-4;  // ms; a time of today has a resolution of 0.0002 ms here

// As much of d3's formats as our hover texts use.
function written(value, format = IN_FULL) {
  if (!Number.isFinite(value)) return NONE;
  const [, sign, , digits, trims, kind] = FORMAT.exec(format) || FORMAT.exec(IN_FULL);
  const places = kind === 'f' ? +digits : Math.max(0, digits - 1 - Math.floor(Math.log10(Math.abs(value) || 1)));
  let text = Math.abs(value).toFixed(Math.min(places, 100));
  if (trims && text.includes('.')) text = text.replace(/\.?0+$/, '');
  const [whole, part] = text.split('.');
  const grouped = format.includes(',') ? whole.replace(/\B(?=(\d{3})+$)/g, ',') : whole;
  const isBelow = value < 0 && (sign || /[1-9]/.test(text));  // what is rounded to 0 keeps its sign if signs are asked for
  const before = isBelow ? '−' : sign;
  return before + (part ? `${grouped}.${part}` : grouped);
}

// A time of the axis, whose zone is in its numbers already.
function clockOf(ms, hasDate = false) {
  const text = new Date(ms + ROUNDING).toISOString();
  return hasDate ? `${text.slice(0, 10)} ${text.slice(11, 23)}` : text.slice(11, 23);
}

function lengthOf(ms) {
  const all = Math.round(Math.abs(ms)), hours = Math.floor(all / 36e5), minutes = Math.floor(all / 6e4) % 60;
  const seconds = `${((all % 6e4) / 1e3).toFixed(3)} s`;
  const parts = [hours && `${hours} h`, (hours || minutes) && `${minutes} min`, seconds];
  return (ms < 0 ? '−' : '') + parts.filter(Boolean).join(' ');
}

// The place of the last time at or before another one; -1 if there is none.
function lastAt(x, time) {
  let low = 0, high = x?.length || 0;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (x[middle] <= time) low = middle + 1; else high = middle;
  }
  return low - 1;
}

const isOnTime = (trace) => (trace.xaxis || 'x') === 'x';
const isSkipped = (trace) => trace.hoverinfo === 'skip' && !trace.meta?.label;

// Read anew each time: the name of a line may change with the data.
function labelIn({meta, hovertemplate = '', name}) {
  return meta?.label || (VALUE.exec(hovertemplate) || TRADE.exec(hovertemplate))?.[1].trim() || name;
}

// How to read each trace of a chart, and how its value is written.
function planOf(data) {
  const plan = [];
  data.forEach((trace, place) => {
    if (!isOnTime(trace) || isSkipped(trace)) return;
    if (trace.type === 'candlestick') plan.push({place, kind: 'candle'});
    const value = VALUE.exec(trace.hovertemplate || ''), trade = TRADE.exec(trace.hovertemplate || '');
    if (trade) plan.push({place, kind: 'trade', size: trade[2], unit: trade[3].trim(), price: trade[4]});
    else if (value || trace.meta?.label) {
      plan.push({place, kind: trace.type === 'bar' ? 'bar' : 'line', format: value?.[2], unit: value?.[3].trim() || ''});
    }
  });
  return plan;
}

// The bar whose span of time holds this time. It is drawn narrower than its span, by the share in its meta.
function barAt(trace, time) {
  const {x, width, xperiod, meta} = trace, last = lastAt(x, time);
  if (xperiod) return last >= 0 && time < x[last] + xperiod ? last : -1;
  const holds = (at) => x?.[at] !== undefined && Math.abs(time - x[at]) <= (width?.[at] || 0) / (meta?.share || 1) / 2;
  return holds(last) ? last : holds(last + 1) ? last + 1 : -1;
}

function candleAt(data, trace, time) {
  if (trace.xperiod) return barAt(trace, time);
  // Bars that differ in length: those of the volume have their spans, and the same places.
  for (const bars of data.filter((each) => each.type === 'bar' && each.meta?.share && isOnTime(each))) {
    const at = barAt(bars, time);
    if (at >= 0) { const own = lastAt(trace.x, bars.x[at]); return trace.x[own] === bars.x[at] ? own : -1; }
  }
  return -1;
}

// A row before a gap is not known to hold within it; one after its begin has come since.
const isInGap = (gaps, row, time) => gaps.some(([from, to]) => from < time && time < to && row <= from);

function placeIn(data, {place, kind}, time, gaps) {
  const trace = data[place], {x} = trace;
  if (!x?.length) return -1;
  if (time === null) return x.length - 1;
  if (kind === 'candle') return candleAt(data, trace, time);
  if (kind === 'bar') return barAt(trace, time);
  const last = lastAt(x, time);
  return last >= 0 && isInGap(gaps, x[last], time) ? -1 : last;
}

function textsOf(trace, at, {kind, format, unit, size, price}) {
  if (kind === 'candle') {
    return [['O', 'open'], ['H', 'high'], ['L', 'low'], ['C', 'close']].map(([short, name]) => [short, at < 0 ? NONE : written(trace[name][at])]);
  }
  const label = labelIn(trace);
  if (at < 0) return [[label, NONE]];
  const named = (value) => (value === NONE || !unit ? value : `${value} ${unit}`);
  if (kind === 'trade') return [[label, `${named(written(trace.customdata[at][0], size))} at ${written(trace.y[at], price)}`]];
  const about = kind === 'bar' && trace.text?.[at] ? ABOUT : '';  // the text of a bar says that it is an estimate
  return [[label, about + named(written(trace.y[at], format))]];
}

// Label and text of each value: of the last row at or before a time, never of one between two rows;
// NONE where it is not known. Without a time: of the newest row. Of traces with one label the later row counts.
function readings(data, plan, time, gaps = []) {
  const found = new Map();
  for (const how of plan) {
    const trace = data[how.place];
    if (trace.visible === 'legendonly') continue;
    const at = placeIn(data, how, time, gaps), since = at < 0 ? -Infinity : trace.x[at];
    for (const [label, text] of textsOf(trace, at, how)) {
      const known = found.get(label);
      if (!known || since > known.since) found.set(label, {since, text});
    }
  }
  return [...found].map(([label, {text}]) => [label, text]);
}

// The value that stands for a chart at a time: the close of a candle, or its main line; NaN where there is none.
function mainAt(data, plan, time, gaps = []) {
  const lines = plan.filter(({kind, place}) => kind === 'line' && (data[place].yaxis || 'y') === 'y');
  const candles = plan.filter(({kind}) => kind === 'candle');
  const chosen = candles.length ? candles : [lines.find(({place}) => data[place].meta?.main) || lines[0]].filter(Boolean);
  for (const how of chosen) {
    const at = placeIn(data, how, time, gaps), {close, y} = data[how.place];
    if (at >= 0) return (how.kind === 'candle' ? close : y)[at];
  }
  return NaN;
}

// The time of the newest row; NaN without rows.
function newestOf(data, plan) {
  const ends = plan.map(({place}) => data[place].x?.at?.(-1)).filter(Number.isFinite);
  return ends.length ? Math.max(...ends) : NaN;
}

// The length of a candle, ms; 0 where there are none, or candles that differ in length.
const candleOf = (data, plan) => plan.filter(({kind}) => kind === 'candle')
  .map(({place}) => data[place].xperiod || 0).find(Boolean) || 0;

// The number of candles that begin after one time and not after another; NaN in a chart without candles.
function candlesBetween(data, plan, from, to) {
  const candles = plan.filter(({kind}) => kind === 'candle');
  if (!candles.length) return NaN;
  const [low, high] = from < to ? [from, to] : [to, from];
  return candles.reduce((sum, {place}) => sum + lastAt(data[place].x, high) - lastAt(data[place].x, low), 0);
}
