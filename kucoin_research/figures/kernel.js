// What every widget knows of its kernel; goes before the widget's own code.
const SILENT_AFTER = 10000;  // whoever is looked at is told each two seconds that the kernel is there
const TELL_EVERY = 5000;  // and says itself that it is there, else the kernel takes it for closed
// Several pages may show the same widgets. The kernel knows them apart, and speaks to one at a time.
const PAGE = (globalThis.__kucoinPage ??= `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}`);
const isForUs = (message) => message.to === undefined || message.to === PAGE;

// Sends until the kernel has ended: from then on to send something is an error.
function lineTo(model, onEnd) {
  const line = {isEnded: false};
  line.end = () => { line.isEnded = true; onEnd(); };
  line.send = (message, buffers) => {
    if (line.isEnded) return;
    try { model.send({...message, page: PAGE}, undefined, buffers); } catch { line.end(); }  // it was shut down
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

// Says at least each five seconds, while it is looked at, what the kernel knows of this page.
function presence(line, isVisible) {
  let last = null, at = 0;
  return {
    tell(view) {  // only what is new
      const text = JSON.stringify(view);
      if (text === JSON.stringify(last)) return;
      last = view;
      at = Date.now();
      line.send(view);
    },
    renew() {
      if (!last || !isVisible() || Date.now() - at < TELL_EVERY) return;
      at = Date.now();
      line.send(last);
    },
    leave() { if (last?.visible) line.send(last = {...last, visible: false}); },
  };
}
