// The user's own account: open orders, and the position, as far as they are known. It only shows them.
function ownAccount() {
  const title = make('b', 'kr-own-title'), facts = make('div', 'kr-account'), note = make('span', 'kr-own-note');
  const body = make('tbody');
  const heads = ['side', 'price', 'size', 'filled', 'placed at', 'order'].map((label) => {
    const cell = make('th', '', label);
    cell.scope = 'col';
    return cell;
  });
  const list = scrolling(make('div', 'kr-own-orders',
    make('table', '', make('thead', '', make('tr', '', ...heads)), body)), 'own open orders');
  const node = make('section', 'kr-own', make('div', 'kr-run-head', title, note, facts), list);
  node.setAttribute('aria-label', 'own orders and position');
  node.hidden = true;
  const row = ([side, ...cells]) => {
    const made = make('tr', '', make('td', '', side === 'buy' ? '▲ buy' : '▼ sell'), ...cells.map((each) => make('td', '', each)));
    made.dataset.side = side;
    return made;
  };
  return {node, tell: {
    own: (notes) => {
      node.hidden = !notes;
      if (!notes) return;
      put(title, notes[0]);
      put(note, notes[1]);
    },
    'own:facts': (all) => facts.replaceChildren(...all.map(([label, value, tone]) => {
      const fact = make('span', 'kr-fact', make('i', '', label), make('b', '', value));
      Object.assign(fact.dataset, {tone, fact: label});
      return fact;
    })),
    'own:orders': (all) => {
      list.hidden = !all.length;
      body.replaceChildren(...all.map(row));
    },
  }};
}

