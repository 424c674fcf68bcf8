// Titles of the axes of a compact chart, as texts of the page. Plotly would measure all labels of an axis that
// has a title, at each redraw, for which the browser lays out its page.
const AXIS = /^[xy]axis\d*$/, AXIS_TITLE = /^([xy]axis\d*)\.title\.text$/;
const ENTITIES = {amp: '&', lt: '<', gt: '>', '#36': '$'};  // those that plotly knows, and our texts have

const plainText = (text) => text.replaceAll('<br>', '\n').replace(/&(amp|lt|gt|#36);/g, (_, name) => ENTITIES[name]);

function axisTitles(plot, isCompact, coloursNow) {
  const node = part('kr-axis-titles'), shown = new Map(), taken = new Map();  // by the name of the axis
  node.setAttribute('aria-hidden', 'true');  // the chart's summary has the units

  function take(name, text) {
    if (!shown.has(name)) {
      const title = part('kr-axis-title');
      title.classList.toggle('kr-upright-text', name[0] === 'y');
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
      const whole = {...layout};
      for (const [name, title] of taken) whole[name] = {...layout[name], title};
      return whole;
    },
    // Whether a part of a layout was a title, and is taken.
    takes(path, value) {
      const name = isCompact && AXIS_TITLE.exec(path)?.[1];
      if (name) take(name, value);
      return Boolean(name);
    },
  };

  function place() {
    const full = plot._fullLayout;
    node.style.color = coloursNow().muted;
    for (const [name, title] of shown) {
      const axis = full?.[name];
      title.hidden = !axis?.visible || !title.textContent;
      if (title.hidden) continue;
      const middle = `${Math.round(axis._offset + axis._length / 2)}px`;
      if (name[0] === 'x') title.style.left = middle;
      else {
        title.style.top = middle;
        title.dataset.side = axis.side;
      }
    }
  }
}
