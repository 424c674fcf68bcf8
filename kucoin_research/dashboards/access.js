// For those who use the keyboard or a screen reader: what the controls of ipywidgets leave out, and the order of all.
const NAMES = [
  ['.kr-symbol input', 'symbol'], ['.kr-folder input', 'folder that recordings go to'],
  ['.kr-interval select', 'interval of candles'], ['.kr-indicators input', 'indicators of the candles'], ['.kr-window select', 'window: time shown'],
  ['.kr-unit select', 'unit of sizes'],
];
const GROUPS = [
  ['.kr-market > div', 'market'], ['.kr-chips', 'channels'], ['.kr-main', 'price chart'],
  ['.kr-lower .kr-tabs > div', 'chart below the price'], ['.kr-book .kr-tabs > div', 'chart of the order book'],
];
const PLACES = ['.kr-controls', '.kr-main', '.kr-lower', '.kr-book'];  // made by ipywidgets, one by one

function setTo(node, name, value) { if (node.getAttribute(name) !== value) node.setAttribute(name, value); }

function describeControls(root) {
  for (const [where, name] of NAMES) {
    for (const node of root.querySelectorAll(where)) setTo(node, 'aria-label', name);
  }
  for (const [where, name] of GROUPS) {
    for (const node of root.querySelectorAll(where)) {
      setTo(node, 'role', 'group');
      setTo(node, 'aria-label', name);
    }
  }
  for (const node of root.querySelectorAll('.widget-toggle-button')) {
    setTo(node, 'aria-pressed', String(node.classList.contains('mod-active')));
  }
  for (const node of root.querySelectorAll('.kr-symbol input, .kr-indicators input')) {
    setTo(node, 'aria-invalid', String(Boolean(node.closest('.kr-wrong'))));
  }
  for (const icon of root.querySelectorAll('.jupyter-button > i')) setTo(icon, 'aria-hidden', 'true');
}

const placesIn = (root) => PLACES.map((where) => root.querySelector(`:scope > .kr-grid > ${where}`));

// A button that is disabled by its own press would lose the focus: it goes to the one that takes it back.
function passFocusOn(root) {
  let last = null;
  root.addEventListener('focusin', ({target}) => { last = target; });
  return () => {
    const pair = [...root.querySelectorAll('.kr-start, .kr-stop')];
    const isLost = last?.disabled && pair.includes(last) && [last, document.body].includes(document.activeElement);
    if (isLost) pair.find((each) => !each.disabled)?.focus();
  };
}

// Describes the controls now and whenever they change; returns the function that ends this.
function makeAccessible(root) {
  setTo(root, 'role', 'group');
  setTo(root, 'aria-label', 'dashboard');
  const passFocus = passFocusOn(root);
  const describe = () => { describeControls(root); passFocus(); };
  const changes = new MutationObserver(describe);
  const what = {subtree: true, childList: true, attributes: true, attributeFilter: ['class', 'disabled']};
  for (const each of root.querySelectorAll('.kr-controls, .kr-switch')) changes.observe(each, what);
  describe();
  const letKeysGo = keepKeys(root), endHotkeys = useHotkeys(root);
  return () => { changes.disconnect(); letKeysGo(); endHotkeys(); };
}

// Tab follows the order of the document, so the parts of the panel go where they are seen.
function placeInOrder(root, {above, below}) {
  const [controls, , , last] = placesIn(root);
  controls.after(...above);
  last.after(...below);
}
