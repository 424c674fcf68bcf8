// The watch list: a card for each symbol; a press shows it.
function watchList(send) {
  const node = make('section', 'kr-watch'), tell = {};
  node.setAttribute('role', 'group');
  node.setAttribute('aria-label', 'watch list; arrow keys move, Enter shows a symbol, Delete takes it away');
  node.hidden = true;
  let order = [], cards = new Map();
  const stopAt = (button) => { for (const {button: each} of cards.values()) each.tabIndex = each === button ? 0 : -1; };
  node.addEventListener('keydown', (event) => {  // Tab stops once in the list
    const all = [...cards.values()].map(({button}) => button), from = all.indexOf(document.activeElement);
    if (from < 0 || isForJupyter(event)) return;
    if (event.key === 'Delete') { send({kind: 'unwatch', symbol: order[from]}); event.preventDefault(); return; }
    const to = {ArrowRight: from + 1, ArrowDown: from + 1, ArrowLeft: from - 1, ArrowUp: from - 1, Home: 0, End: all.length - 1}[event.key];
    if (to === undefined) return;
    event.preventDefault();
    all[Math.min(Math.max(to, 0), all.length - 1)].focus();
  });
  node.addEventListener('focusin', ({target}) => { if (target.classList.contains('kr-card')) stopAt(target); });

  function cardOf(symbol) {
    const last = make('span', 'kr-card-last', '–'), change = make('span', 'kr-card-change'), more = make('span', 'kr-card-more');
    const button = make('button', 'kr-card', make('span', 'kr-card-line', make('b', '', symbol), change), make('span', 'kr-card-line', last, more));
    button.type = 'button';
    button.tabIndex = -1;
    button.addEventListener('click', () => send({kind: 'card', symbol}));
    tell[`card:${symbol}`] = ([price, direction, percent, tone, spread, age]) => {
      put(last, `${{up: '▲', down: '▼'}[direction] || ''} ${price}`.trim());
      last.dataset.tone = direction;
      put(change, percent);
      change.dataset.tone = tone;
      put(more, age ? `${age} ago` : spread);
      button.title = [`show ${symbol}`, spread && `spread ${spread}`, age && `newest row ${age} ago`].filter(Boolean).join('\n');
    };
    return {button};
  }

  tell.watch = ([symbols, shown]) => {
    if (symbols.join() !== order.join()) {
      const focused = order[[...cards.values()].findIndex(({button}) => button === document.activeElement)];
      for (const each of order) if (!symbols.includes(each)) { delete tell[`card:${each}`]; cards.delete(each); }
      cards = new Map(symbols.map((each) => [each, cards.get(each) || cardOf(each)]));
      order = symbols;
      node.replaceChildren(...[...cards.values()].map(({button}) => button));
      node.hidden = !symbols.length;
      if (focused) (cards.get(focused) || cards.get(symbols[0]))?.button.focus();
    }
    for (const [symbol, {button}] of cards) setTo(button, 'aria-pressed', String(symbol === shown));
    if (![...cards.values()].some(({button}) => button.tabIndex === 0)) stopAt((cards.get(shown) || [...cards.values()][0])?.button);
  };
  return {node, tell};
}
