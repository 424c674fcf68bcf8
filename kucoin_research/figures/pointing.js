// The crosshair and the measure under the hand: pointer and keys of one chart that has a time axis.
const STEPS = {ArrowLeft: -1, ArrowRight: 1}, STEPS_SHOWN = 100;  // steps of the crosshair across a chart

// `own` is the chart's pane, `link()` its group once there is one, and `onPoint(x, y)` hears where the pointer is,
// without arguments once it has left.
function pointing({el, plot, cross, measure, own, link, isFollowing, onPoint}) {
  let isDragging = false;
  const at = () => link()?.cross ?? null;

  function timeOf({time, x, y}) {  // NaN where it is not, as at a pointer that a new size has left outside
    const scales = scalesOf(plot);
    return time ?? (scales?.holds(x, y) ? scales.timeAt(x) : NaN);
  }

  const main = (time) => mainAt(plot.data, cross.plan, time, gapsOf(plot));

  function placeOfMain(scales, time) {
    const value = main(time), panel = scales.panelOf('yaxis');
    return Number.isFinite(value) && panel ? placeOn(panel, value) : null;
  }

  // The place that a measure begins at or reaches; of keys, it is on the main line.
  function measured(scales, where, time) {
    const panel = measure.isShown ? measure.panelOf(scales) : scales.panelAt(where.y ?? -1) || scales.panelOf('yaxis');
    const isPointed = where.pane === own && where.y !== undefined && panel;
    const y = isPointed && Math.min(Math.max(where.y, panel._offset), panel._offset + panel._length);
    return {time, name: panel?._name, value: isPointed ? valueOn(panel, y) : panel?._name === 'yaxis' ? main(time) : NaN};
  }

  function show(where) {
    const scales = scalesOf(plot);
    if (!scales) return;
    const time = where ? where.pane.timeOf(where) : NaN, isOn = Number.isFinite(time);
    // A followed chart has moved on from the place that the keys have chosen.
    if (where?.pane === own && where.time < scales.from) link().point(null);
    const y = isOn && where.pane === own ? where.y ?? placeOfMain(scales, time) : null;
    cross.show(isOn ? time : null, y, isFollowing() ? null : scales.to);
    if (isOn && measure.isOpen) measure.reach(measured(scales, where, time)); else measure.draw();
  }

  function point(where) {
    link()?.point(where && {pane: own, ...where});
    show(at());
  }

  function step(way) {
    const scales = scalesOf(plot), newest = newestOf(plot.data, cross.plan);
    if (!scales || !Number.isFinite(newest)) return;
    const where = at(), length = candleOf(plot.data, cross.plan);
    let time = Math.min(newest, scales.to);  // the first press shows the newest row
    if (where) time = where.pane.timeOf(where) + way * (length || (scales.to - scales.from) / STEPS_SHOWN);
    if (length) time = newest + Math.floor((time - newest) / length + 1e-6) * length;
    point({time: Math.min(Math.max(time, scales.from), scales.to)});
    cross.hear(measure.isOpen ? measure.text() : '');
  }

  function begin(where) {
    const scales = scalesOf(plot), {name, ...place} = measured(scales, where, where.pane.timeOf(where));
    measure.begin(place, name);
  }

  function measureByKey() {
    if (measure.isOpen) { measure.fix(); return; }
    measure.clear();
    if (!at()) step(1);
    if (!at()) return;  // there is nothing to measure
    begin(at());
    cross.hear('measure from here');
  }

  function onKey(event) {  // returns whether the key was for it
    const {key} = event;
    if (key === 'Escape') {
      if (!measure.isShown && at()?.time === undefined) return false;
      measure.clear();
      if (at()?.time !== undefined) point(null);
      event.stopPropagation();
    } else if (isForJupyter(event)) return false;
    else if (event.shiftKey && key in STEPS) step(STEPS[key]);
    else if (key === 'm') measureByKey();
    else return false;
    return true;
  }

  function placeOf({clientX, clientY}) {
    const box = plot.getBoundingClientRect();
    return [clientX - box.left, clientY - box.top];
  }

  function onMove(event) {
    const scales = scalesOf(plot);
    if (!scales) return;
    let [x, y] = placeOf(event);
    if (isDragging) {
      x = Math.min(Math.max(x, scales.left), scales.left + scales.width);
      y = Math.min(Math.max(y, scales.top), scales.top + scales.height);
    }
    onPoint(x, y);
    if (scales.holds(x, y)) link()?.point({pane: own, x, y}); else onLeave();
  }

  const onLeave = () => { if (!isDragging && at()?.time === undefined) link()?.point(null); };

  function onDown(event) {
    const scales = scalesOf(plot), [x, y] = placeOf(event);
    if (!scales?.holds(x, y) || event.button !== 0) return;
    el.focus({preventScroll: true});  // the keys are for the chart that was pressed
    if (!event.shiftKey || !link()) {
      if (measure.isOpen) measure.fix(); else measure.clear();
      return;
    }
    isDragging = true;
    plot.setPointerCapture(event.pointerId);
    measure.clear();
    begin({pane: own, x, y});
  }

  // Plotly would zoom or move the chart from here on.
  function keepFromPlotly(event) {
    if (!isDragging) return;
    event.stopImmediatePropagation();
    event.preventDefault();
  }

  function onUp(event) {
    if (!isDragging) return;
    onMove(event);
    show(at());
    isDragging = false;
    measure.fix();
  }

  const onBlur = () => { if (at()?.pane === own && at().time !== undefined) point(null); };
  plot.addEventListener('pointermove', onMove);
  plot.addEventListener('pointerleave', () => { onPoint(); onLeave(); });
  plot.addEventListener('pointerdown', onDown, true);
  plot.addEventListener('mousedown', keepFromPlotly, true);
  for (const kind of ['pointerup', 'pointercancel']) plot.addEventListener(kind, onUp);
  el.addEventListener('blur', onBlur);
  return {show, timeOf, onKey, end: () => el.removeEventListener('blur', onBlur)};
}
