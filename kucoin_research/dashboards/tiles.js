// The tiles: numbers of the market, each with a label and, under the pointer or with the focus, what it means.
const TILES = [
  ['last', 'last'], ['change', 'change'], ['bid', 'bid'], ['ask', 'ask'], ['spread', 'spread bp'],
  ['volume', 'volume'], ['imbalance', 'imbalance'], ['rate', 'msgs/s'], ['latency', 'latency ms'],
];
const LEAST_LETTERS = 6;  // that the letters of a value are made to fit for

function tiles() {
  const node = make('section', 'kr-tiles'), tell = {}, found = {};
  const uid = Math.random().toString(36).slice(2);
  node.setAttribute('aria-label', 'numbers of the market');
  for (const [name, label] of TILES) {
    const value = make('b', name === 'last' ? 'kr-value kr-price' : 'kr-value', '–');
    const title = make('span', 'kr-label', label), tip = make('span', 'kr-tile-tip');
    const tile = make('div', 'kr-tile', title, value, tip);
    [title, value, tip].forEach((each, at) => { each.id = `kr-${uid}-${name}-${at}`; });
    tile.setAttribute('role', 'group');
    tile.setAttribute('aria-labelledby', `${title.id} ${value.id}`);
    tile.setAttribute('aria-describedby', tip.id);
    tip.setAttribute('role', 'tooltip');
    tile.dataset.tile = name;
    tile.tabIndex = node.childElementCount ? -1 : 0;
    node.append(tile);
    found[name] = {title, tip};
    let letters = 0;
    tell[`tile:${name}`] = ([text, tone]) => {
      put(value, text);
      tile.dataset.tone = tone;
      const wanted = Math.max(LEAST_LETTERS, text.length + (name === 'last' && tone ? 1.5 : 0));
      if (wanted !== letters) tile.style.setProperty('--kr-letters', letters = wanted);
    };
  }
  tell.labels = (all) => { for (const [name, text] of Object.entries(all)) put(found[name].title, text); };
  tell.tips = (all) => { for (const [name, text] of Object.entries(all)) put(found[name].tip, text); };
  node.addEventListener('keydown', (event) => {  // Tab stops once at the tiles, arrow keys move within
    const each = [...node.children], from = each.indexOf(event.target);
    if (event.key === 'Escape') node.classList.add('kr-untold');
    const to = {ArrowRight: from + 1, ArrowLeft: from - 1, Home: 0, End: each.length - 1}[event.key];
    if (to === undefined || from < 0 || isForJupyter(event)) return;
    event.preventDefault();
    each[Math.min(Math.max(to, 0), each.length - 1)].focus();
  });
  node.addEventListener('focusin', ({target}) => {
    node.classList.remove('kr-untold');
    for (const each of node.children) each.tabIndex = each === target ? 0 : -1;
  });
  node.addEventListener('pointerover', () => node.classList.remove('kr-untold'));
  return {node, tell};
}
