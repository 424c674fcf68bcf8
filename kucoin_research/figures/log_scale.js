// The logarithmic scale of a chart's prices. It is the axis's type in the layout, so whatever else is drawn on the
// axis finds it there.
const priceAxesIn = (layout) => Object.keys(layout).filter((name) => /^yaxis\d*$/.test(name) && layout[name].exponentformat === 'none');

const VALUES_ON = ['y', 'low', 'base'];  // of a trace; a bar with a base has the difference as its y

function hasOnlyPositive(data, layout) {
  const names = priceAxesIn(layout).map((name) => `y${name.slice(5)}`);
  const own = data.filter((trace) => names.includes(trace.yaxis || 'y'));
  return own.every((trace) => VALUES_ON.every((name) => {
    const values = trace[name];
    if (!values?.length || (name === 'y' && trace.base?.length)) return true;
    for (let at = 0; at < values.length; at++) if (values[at] <= 0) return false;
    return true;
  }));
}

// Puts the scale into a layout; returns whether that is possible with the values there are.
function putScale(data, layout, isLog) {
  const isPossible = !isLog || hasOnlyPositive(data, layout);
  for (const name of priceAxesIn(layout)) {
    const axis = layout[name], type = isLog && isPossible ? 'log' : 'linear';
    if ((axis.type || 'linear') === type) continue;
    // A range that was zoomed to is of logarithms on such an axis.
    if (axis.autorange === false && axis.range) {
      const range = axis.range.map(type === 'log' ? Math.log10 : (each) => 10 ** each);
      if (range.every(Number.isFinite)) axis.range = range; else axis.autorange = true;
    }
    axis.type = type;
  }
  return isPossible;
}
