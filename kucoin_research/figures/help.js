// The list of keys: a dialog that "?" opens, and its buttons. Esc closes it, and the focus returns.
const CHART_KEYS = ['Charts', [
  [['←', '→'], 'move through time'], [['+', '−'], 'zoom in, zoom out'],
  [['Home', 'double click'], 'follow the newest data, on all charts that move together'],
  [['Shift + ← →'], 'move the crosshair; by a candle where there are candles'],
  [['m'], 'measure from the crosshair on; once more: keep the measure'], [['Shift + drag'], 'measure with the mouse'],
  [['Esc'], 'take measure and crosshair away'], [['l'], 'logarithmic scale of the price, and back'],
  [['drag', 'wheel'], 'zoom with the mouse'], [['?'], 'this list'],
]];
const isTyping = (node) => node.matches?.('input:not([type=range], [type=checkbox]), textarea, select, [contenteditable=true]');

function tableOf([title, keys]) {
  const table = document.createElement('table'), caption = table.createCaption();
  caption.textContent = title;
  for (const [names, meaning] of keys) {
    const row = table.insertRow(), head = document.createElement('th');
    head.scope = 'row';
    for (const each of names) {
      const shown = document.createElement('kbd');
      shown.textContent = each;
      head.append(shown, ' ');
    }
    row.append(head);
    row.insertCell().textContent = meaning;
  }
  return table;
}

function openHelp(root, sections) {
  const before = document.activeElement, dialog = document.createElement('dialog');
  dialog.className = 'kr-keys-help';
  dialog.setAttribute('aria-label', 'keys');
  const close = document.createElement('button');
  Object.assign(close, {type: 'button', textContent: 'Close', className: 'kr-keys-close'});
  close.addEventListener('click', () => dialog.close());
  dialog.append(...sections.map(tableOf), close);
  // Esc closes it and does no more: JupyterLab would leave its edit mode, and a chart its crosshair.
  dialog.addEventListener('keydown', (event) => event.stopPropagation());
  dialog.addEventListener('click', ({target}) => { if (target === dialog) dialog.close(); });  // beside it
  dialog.addEventListener('close', () => {
    dialog.remove();
    if (before?.isConnected) before.focus({preventScroll: true});
  });
  root.append(dialog);
  dialog.showModal();
}

// Opens the list by "?" anywhere within `root`, but where text is typed; `sections` returns null where another root
// has the list. Returns the function that ends this.
function offerHelp(root, sections) {
  const onKey = (event) => {
    if (event.key !== '?' || isForJupyter(event) || event.defaultPrevented || isTyping(event.target)) return;
    const all = sections();
    if (!all) return;
    event.preventDefault();
    openHelp(root, all);
  };
  root.addEventListener('keydown', onKey);
  return () => {
    root.removeEventListener('keydown', onKey);
    for (const each of root.querySelectorAll('.kr-keys-help')) each.remove();
  };
}

function helpButton(root, sections) {
  const made = document.createElement('button');
  Object.assign(made, {type: 'button', textContent: '?', className: 'kr-help', title: 'keys (?)'});
  made.setAttribute('aria-label', 'list of keys');
  made.setAttribute('aria-haspopup', 'dialog');
  made.addEventListener('click', () => openHelp(root, sections()));
  return made;
}
