// The measure: from one place of a chart to another. It keeps time and value, and so moves with the chart.
const MOST_DIGITS = 12;  // of the values; behind them, their difference has the rounding of both

function differenceOf(from, to) {
  const largest = Math.max(Math.abs(from), Math.abs(to)) || 1, places = MOST_DIGITS - 1 - Math.floor(Math.log10(largest));
  return Number((to - from).toFixed(Math.min(Math.max(places, 0), 100)));
}

function measureText({from, to, isPrice, candles}) {
  const difference = differenceOf(from.value, to.value), parts = [];
  if (Number.isFinite(difference)) {
    const percent = isPrice && from.value > 0 ? ` (${written(100 * (to.value / from.value - 1), '+.3f')} %)` : '';
    parts.push(`Δ ${written(difference, '+,.12~r')}${percent}`);
  }
  parts.push(`Δt ${lengthOf(to.time - from.time)}`);
  if (Number.isFinite(candles)) parts.push(`${candles} bar${candles === 1 ? '' : 's'}`);
  return parts.join(' · ');
}

// `candlesIn(from, to)` counts the candles between two times.
function measureOf(plot, over, candlesIn) {
  const box = part('kr-measured', over), label = part('kr-measure', over);
  let from = null, to = null, panel = '', isOpen = false;
  box.hidden = label.hidden = true;

  function draw() {
    const scales = from && to && scalesOf(plot), axis = scales && scales.panelOf(panel);
    box.hidden = label.hidden = !axis;
    if (!axis) return;
    const xs = [from, to].map(({time}) => Math.min(Math.max(scales.xOf(time), scales.left), scales.left + scales.width));
    // A value that is not known, as in a gap, has no place: the measure is then one of time.
    const isKnown = Number.isFinite(from.value) && Number.isFinite(to.value);
    const ys = isKnown ? [from, to].map(({value}) => Math.min(Math.max(placeOn(axis, value), axis._offset), axis._offset + axis._length))
      : [axis._offset, axis._offset + axis._length];
    const [left, top] = [Math.min(...xs), Math.min(...ys)], [width, height] = [Math.abs(xs[1] - xs[0]), Math.abs(ys[1] - ys[0])];
    box.style.cssText = `transform: translate(${left}px, ${top}px); width: ${width}px; height: ${height}px`;
    say(label, text());
    const isLow = top - scales.top < 26, middle = Math.min(Math.max(left + width / 2, scales.left + 120), scales.left + scales.width - 120);
    label.style.cssText = `transform: translate(${middle}px, ${isLow ? top + height + 4 : top - 4}px) translate(-50%, ${isLow ? '0' : '-100%'})`;
  }

  const text = () => (from && to ? measureText({
    from, to, isPrice: plot._fullLayout[panel]?.exponentformat === 'none', candles: candlesIn(from.time, to.time),
  }) : '');

  return {
    draw, text,
    get isOpen() { return isOpen; },
    get isShown() { return Boolean(from); },
    begin(place, name) { from = to = place; panel = name; isOpen = true; draw(); },
    reach(place) { if (isOpen) { to = place; draw(); } },
    fix() { isOpen = false; },
    clear() { from = to = null; isOpen = false; draw(); },
    panelOf: (scales) => scales.panelOf(panel),
  };
}
