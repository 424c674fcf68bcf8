// The browser's side of the conversation with the kernel; it goes before each widget's own code.
const SILENT_AFTER = 10000;  // ms; the kernel sends a visible widget a sign of life every two seconds
const TELL_EVERY = 5000;  // ms between this page's own signs of life; the kernel waits 30 s for one
const ANSWER_WITHIN = 25;  // ms; frames drawn in this time are acknowledged together
// Several pages may show the same widgets. The kernel addresses each of them by this name.
const PAGE = (globalThis.__kucoinPage ??= `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}`);
const isForUs = (message) => message.to === undefined || message.to === PAGE;

// Sends messages until the kernel has ended; after that, sending would raise.
function lineTo(model, onEnd) {
  const line = {isEnded: false, isClosed: false, carried: []};
  line.end = () => { line.isEnded = true; onEnd(); };
  line.send = (message, buffers) => {  // whether it was sent
    if (line.isEnded || line.isClosed) return false;
    try { model.send({...message, page: PAGE}, undefined, buffers); } catch { line.end(); }  // the kernel was shut down
    return !line.isEnded;
  };
  line.drawn = (seq, ms) => answerSoon({model, line, seq, ms});
  // The widget was closed: nobody hears it any more, perhaps not even what it was given to carry last.
  model.on('destroy', () => {
    line.isClosed = true;
    for (const answer of line.carried.splice(0)) answerSoon(answer);
  });
  model.on('comm_live_update', line.end);  // comes once, when the kernel is restarted or has died
  return line;
}

// JupyterLab shows its kernel busy and idle again for each message, with icons that it fetches; that
// costs the page up to a tenth of its time. So one message acknowledges the frames of all widgets.
const answers = (globalThis.__kucoinAnswers ??= new WeakMap());  // per kernel: by the manager of its widgets

function answerSoon(answer) {
  const {model} = answer, manager = model.widget_manager ?? model;
  if (!answers.has(manager)) {
    answers.set(manager, new Map());
    setTimeout(() => answerAll(manager), ANSWER_WITHIN);
  }
  const waiting = answers.get(manager), uid = model.get('uid'), before = waiting.get(uid);
  if (!before || before.seq < answer.seq) waiting.set(uid, answer);
}

// It goes over the first line that is open; a widget that was closed meanwhile has none.
function answerAll(manager) {
  const waiting = answers.get(manager);
  answers.delete(manager);
  for (const [id, {line, seq, ms}] of waiting) {
    waiting.delete(id);
    const others = [...waiting].map(([other, {seq, ms}]) => [other, seq, ms]);
    if (!line.send({kind: 'drawn', seq, ms, others})) continue;
    line.carried = [...waiting.values()];
    return;
  }
}

// Returns a function that describes how long the kernel has been silent towards a visible view; it
// returns '' while the silence is short.
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

// Keeps the kernel informed about this page's view; while visible, repeats it every five seconds.
function presence(line, isVisible) {
  let last = null, at = 0;
  return {
    tell(view) {  // sent only if it has changed
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

// JupyterLab (4.6) keeps the comm of each model until the kernel ends, and with the comm the model
// and all that it has ever shown: CommHandler stays connected to the kernel's statusChanged. So a
// model of ours lets go of its comm when it is closed.
function letGo(model) {
  const {comm} = model, nothing = () => {};
  model.once('destroy', () => { comm?.on_msg?.(nothing); comm?.on_close?.(nothing); });
}

const known = (globalThis.__kucoinModels ??= new Set());  // ids

// The models of a widget's parts, by their ids; some are there only after the widget.
function letGoOfParts(model) {
  const look = () => {
    for (const id of model.get('parts').filter((each) => !known.has(each))) {
      known.add(id);
      const forget = () => known.delete(id);
      model.widget_manager.get_model(id).then((part) => {
        letGo(part);
        part.once('destroy', forget);
      }, forget);  // one that is closed already has nothing to let go
    }
  };
  model.on('change:parts', look);
  look();
}

const STILL_EVERY = 10000, STILL_QUIET = 700, STILL_APART = 3000, STILL_LAST = 1500;  // ms
const STILL_SHARE = 20;  // pictures take a twentieth of the browser's time, at most

// Makes the pictures for the saved notebook: one soon after the last change, one each ten seconds
// while there are changes, and one that the kernel asks for before it closes the widget. `sight`
// describes what is shown, '' for nothing yet; `take` makes a picture.
function pictures(sight, take) {
  let seen = '', changed = 0, taken = '', at = 0, cost = 0, isBusy = false, asked = 0;
  const isDue = (now) => {
    if (!seen) return false;
    const isQuiet = now - changed >= STILL_QUIET;
    if (asked) return isQuiet || now - asked > STILL_LAST;
    if (seen === taken) return false;
    const rest = Math.max(isQuiet ? STILL_APART : STILL_EVERY, STILL_SHARE * cost);
    return now - at >= rest;
  };
  return {
    ask() { asked = Date.now(); },
    async look() {
      if (isBusy) return;
      const now = Date.now(), sign = sight(Boolean(asked));
      at ||= sign && now - STILL_EVERY + STILL_APART;
      if (sign !== seen) { seen = sign; changed = now; }
      if (!isDue(now)) return;
      isBusy = true;
      taken = seen;
      at = now;
      const isLast = Boolean(asked);
      asked = 0;
      try { await take(isLast); } finally { isBusy = false; }
      cost = Date.now() - now;
    },
  };
}

// A picture of a widget is no widget: it is veiled, and has its date.
function stamp(pen, width, height, name, ground) {
  pen.globalAlpha = 0.45;
  pen.fillStyle = ground;
  pen.fillRect(0, 0, width, height);
  pen.globalAlpha = 1;
  const date = new Date().toISOString().slice(0, 19).replace('T', ' ');
  const words = [name, `${date} UTC`, 'not live any more'].filter(Boolean).join(', ');
  pen.font = '13px system-ui, sans-serif';
  pen.letterSpacing = '0px';
  const wide = Math.min(pen.measureText(words).width + 28, width), x = (width - wide) / 2, y = height / 2 - 14;
  pen.fillStyle = '#444';
  pen.beginPath();
  pen.roundRect(x, y, wide, 28, 14);
  pen.fill();
  pen.fillStyle = '#fff';
  pen.textBaseline = 'middle';
  pen.fillText(words, x + 14, y + 14, wide - 28);
}

function canvasOf(width, height, ground) {
  const canvas = document.createElement('canvas');
  canvas.width = Math.round(width);
  canvas.height = Math.round(height);
  const pen = canvas.getContext('2d');
  pen.fillStyle = ground;
  pen.fillRect(0, 0, width, height);
  return [canvas, pen];
}

const pngOf = async (canvas) =>
  (await new Promise((done) => canvas.toBlob(done, 'image/png'))).arrayBuffer();
