// The keys of the whole dashboard; each presses a control that is there to be pressed.
const BOARD_KEYS = ['Dashboard', [
  [['/'], 'choose a symbol: part of its name, then Enter'], [['f'], 'freeze the charts, or let them go on'],
  [['Tab'], 'the next control'], [['Space', 'Enter'], 'press it'],
]];
const REPLAY_KEYS = ['Replay', [
  [['p'], 'play, or pause'], [['.'], 'one step on'],
  [['←', '→', 'Page Up', 'Page Down'], 'on the slider: a little, or a lot, back and forth'], [['Home', 'End'], 'on the slider: to the beginning, to the end'],
  [['↑', '↓', 'Home', 'End'], 'in the list of a strategy: its fills and notes'],
]];
const WATCH_KEYS = ['Watch list', [
  [['←', '→', 'Home', 'End'], 'another card'], [['Enter'], 'show its symbol'], [['Delete'], 'take it from the list'],
]];
const PRESSED = {f: '.kr-freeze', p: '.kr-play:not([hidden]), .kr-pause:not([hidden])', '.': '.kr-step'};

function useHotkeys(root) {
  const isThere = (part) => Boolean(root.querySelector(`${part}:not([hidden])`));
  const sections = () => [CHART_KEYS, BOARD_KEYS, ...(isThere('.kr-bar') ? [REPLAY_KEYS] : []), ...(isThere('.kr-watch') ? [WATCH_KEYS] : [])];
  const onKey = (event) => {
    const {key, target} = event;
    if (event.defaultPrevented || isForJupyter(event) || isTyping(target)) return;
    const node = key === '/' ? root.querySelector('.kr-symbol input') : PRESSED[key] && root.querySelector(PRESSED[key]);
    if (!node || node.disabled || node.closest('[hidden]')) return;
    event.preventDefault();
    if (key === '/') { node.focus(); node.select(); } else node.click();
  };
  const endHelp = offerHelp(root, sections), button = helpButton(root, sections);
  root.querySelector('.kr-health').prepend(button);
  root.addEventListener('keydown', onKey);
  return () => { endHelp(); button.remove(); root.removeEventListener('keydown', onKey); };
}
