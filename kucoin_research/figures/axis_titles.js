// Titles of the axes of a compact chart, as texts of the page. Plotly would measure all labels of an axis that
// has a title, at each redraw, for which the browser lays out its page.
const AXIS = /^[xy]axis\d*$/, AXIS_TITLE = /^([xy]axis\d*)\.title\.text$/;
const ENTITIES = {amp: '&', lt: '<', gt: '>', '#36': '$'};  // those that plotly knows, and our texts have
const TITLE_LETTER = 5.8;  // px of a letter, on average: nothing of the page is measured

const plainText = (text) => text.replaceAll('<br>', '\n').replace(/&(amp|lt|gt|#36);/g, (_, name) => ENTITIES[name]);

function axisTitles(plot, isCompact, coloursNow) {
  const node = part('kr-axis-titles'), shown = new Map(), taken = new Map();  // by the name of the axis
  node.setAttribute('aria-hidden', 'true');  // the chart's summary has the units

  function take(name, text) {
    if (!shown.has(name)) {
      const title = part('kr-axis-title');
      shown.set(name, title);
      node.append(title);
    }
    shown.get(name).textContent = plainText(text);
    taken.set(name, {...taken.get(name), text});
  }

  return {
    node, place,
    // Takes the titles out of a layout.
    takeAll(layout) {
      if (!isCompact) return;
      for (const name of Object.keys(layout).filter((each) => AXIS.test(each))) {
        taken.set(name, layout[name].title);
        take(name, layout[name].title?.text || '');
        delete layout[name].title;
      }
    },
    // The layout with its titles, for a picture.
    given(layout) {
      const whole = {...layout}, isWithin = areWithin(), within = [];
      for (const [name, title] of taken) {
        const axis = plot._fullLayout?.[name];
        if (!isWithin || name[0] === 'x') whole[name] = {...layout[name], title};
        else if (isTitled(name, axis)) within.push(noteOf(axis, title));
      }
      if (within.length) whole.annotations = [...(layout.annotations || []), ...within];
      return whole;
    },
    // Whether a part of a layout was a title, and is taken.
    takes(path, value) {
      const name = isCompact && AXIS_TITLE.exec(path)?.[1];
      if (name) take(name, value);
      return Boolean(name);
    },
  };

  function isTitled(name, axis) {
    return Boolean(axis?.visible && shown.get(name)?.textContent);
  }

  // Whether the titles of upright axes lie in the corners of their panes: where prices have tags, which would
  // cover one, and where a pane is too low for its own.
  function areWithin() {
    if (plot.layout?.meta?.tags) return true;
    return [...shown].some(([name, {textContent: text}]) => {
      const axis = plot._fullLayout?.[name];
      const longest = Math.max(...text.split('\n').map((each) => each.length));
      return name[0] === 'y' && isTitled(name, axis) && longest * TITLE_LETTER > axis._length;
    });
  }

  // A title in the corner of its pane, as plotly writes it.
  function noteOf({domain}, {text, font}) {
    return {
      text: text.replaceAll('<br>', ' '), font, showarrow: false, xref: 'paper', x: 0, xanchor: 'left', xshift: 2,
      yref: 'paper', y: domain[1], yanchor: 'top', bgcolor: coloursNow().paper, opacity: 0.85, borderpad: 0,
    };
  }

  function place() {
    const full = plot._fullLayout, isWithin = areWithin(), {muted} = coloursNow();
    node.style.color = muted;
    for (const [name, title] of shown) {
      const axis = full?.[name];
      title.hidden = !isTitled(name, axis);
      if (title.hidden) continue;
      const middle = `${Math.round(axis._offset + axis._length / 2)}px`, isUpright = name[0] === 'y';
      title.classList.toggle('kr-upright-text', isUpright && !isWithin);
      title.classList.toggle('kr-within', isUpright && isWithin);
      if (!isUpright) title.style.left = middle;
      else if (isWithin) {
        title.style.left = `${Math.round(full.xaxis._offset) + 2}px`;
        title.style.top = `${Math.round(axis._offset)}px`;
      } else {
        title.style.left = '';
        title.style.top = middle;
        title.dataset.side = axis.side;
      }
    }
  }
}
