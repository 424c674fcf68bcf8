// What every widget knows of its kernel; goes before the widget's own code.
const SILENT_AFTER = 10000;  // whoever is looked at is told each two seconds that the kernel is there

// Sends until the kernel has ended: from then on to send something is an error.
function lineTo(model, onEnd) {
  const line = {isEnded: false};
  line.end = () => { line.isEnded = true; onEnd(); };
  line.send = (message, buffers) => {
    if (line.isEnded) return;
    try { model.send(message, undefined, buffers); } catch { line.end(); }  // it was shut down
  };
  model.on('comm_live_update', line.end);  // told once, when it is restarted or has died
  return line;
}

// Gives what asks whether a view that is looked at has not heard for long; it answers in words.
function silenceOf(isVisible, lastHeard) {
  let shown = 0, wasVisible = false;
  return () => {
    const visible = isVisible();
    if (!visible || !wasVisible) shown = Date.now();
    wasVisible = visible;
    const silence = Date.now() - Math.max(lastHeard(), shown);
    return silence > SILENT_AFTER ? `no word from its kernel for ${Math.round(silence / 1000)} s` : '';
  };
}
