// The tape: the newest trades of at least a size. The kernel chooses them, so that the tape is full where they are rare.
const TAPE_ROWS = 40;

function tape(send) {
  const body = make('div', 'kr-prints'), empty = make('p', 'kr-none', 'trades appear here');
  const name = make('h4', 'kr-tape-name'), passed = make('output', 'kr-passed');
  passed.title = 'trades of at least this size, of those that were looked at';
  const least = make('input', 'kr-least');
  Object.assign(least, {type: 'number', min: 0, step: 'any', placeholder: 'all', title: 'smallest size that the tape shows; empty: all'});
  least.setAttribute('aria-label', 'smallest size that the tape shows');
  let unit = '', zone = '';
  const node = make('section', 'kr-tape', name, make('label', 'kr-filter', make('span', '', 'size ≥'), least, passed),
    make('div', 'kr-print kr-titles', make('span', '', 'time'), make('span', '', 'price'), make('span', '', 'size')),
    empty, body);
  node.setAttribute('role', 'region');
  node.setAttribute('aria-label', 'tape');
  const row = ([at, price, size, side, mark]) => {
    const print = make('div', 'kr-print', make('span', 'kr-at', at),
      make('span', 'kr-paid', `${side === 'buy' ? '▲' : side === 'sell' ? '▼' : ' '} ${price}`), make('span', 'kr-size', size));
    print.dataset.side = side;
    if (mark === 'large') {
      print.dataset.large = '';
      print.title = 'large: among the largest 2 % of the newest 1,000 trades';
    }
    return print;
  };
  const describe = () => put(name, `trades to the ms, ${[zone, unit].filter(Boolean).join(', ')}`);
  const check = () => {
    const isGood = least.validity.valid;
    least.setAttribute('aria-invalid', String(!isGood));
    if (!isGood) put(passed, 'a size is 0 or more');
    return isGood;
  };
  least.addEventListener('input', check);
  least.addEventListener('change', () => { if (check()) send({kind: 'least', size: Number(least.value)}); });
  return {node, tell: {
    'tape': ({all, add}) => {
      if (all) body.replaceChildren();
      body.prepend(...(all || add).map(row).reverse());
      while (body.childElementCount > TAPE_ROWS) body.lastElementChild.remove();
      empty.hidden = body.childElementCount > 0;
    },
    'unit': (its) => {
      unit = its;
      describe();
      least.title = `smallest size that the tape shows, in ${its}; empty: all`;
    },
    'tape:filter': ([size, count, all]) => {
      if (document.activeElement !== least) {  // on other pages, too
        least.value = size || '';
        least.setAttribute('aria-invalid', 'false');
      }
      const isWrong = least.getAttribute('aria-invalid') === 'true';
      if (!isWrong) put(passed, size ? `${count.toLocaleString('en')} of ${all.toLocaleString('en')}` : '');
      put(empty, size ? 'no trade of at least this size yet' : 'trades appear here');
    },
    'tape:zone': (its) => {
      zone = its;
      describe();
      name.title = `times in ${zone === 'local' ? 'the time zone of the kernel' : zone}, to the millisecond`;
    },
  }};
}
