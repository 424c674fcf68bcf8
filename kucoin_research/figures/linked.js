// Charts with one time axis. Those of a group, such as a dashboard's, are moved together and show one crosshair;
// without a group, the views of one figure are.
function groupOf(name) {
  const groups = (page.groups ??= new Map());
  if (!groups.has(name)) groups.set(name, {panes: new Set(), range: null, cross: null, moving: 0, showing: 0});
  return groups.get(name);
}

// Makes a pane a member of its group. A pane can `moveTo(range, isSettled)`, `followAlone()`, `timeOf(cross)` and
// `show(cross)`. A cross is where the pointer is, `{pane, x, y}` in px, or what the keys have chosen, `{pane, time}`.
function linkTo(model, pane) {
  let name = '', group = null;
  const others = () => [...group.panes].filter((each) => each !== pane);
  const showAll = () => {  // once for each frame of the screen
    const own = group;
    own.showing ||= requestAnimationFrame(() => {
      own.showing = 0;
      for (const each of own.panes) each.show(own.cross);
    });
  };
  const leave = () => {
    if (!group) return;
    group.panes.delete(pane);
    if (group.cross?.pane === pane) { group.cross = null; showAll(); }
    if (!group.panes.size) page.groups.delete(name);
    group = null;
  };
  const join = () => {
    leave();
    name = model.get('group') || model.get('uid');
    group = groupOf(name);
    group.panes.add(pane);
    if (group.range) pane.moveTo(group.range, true);
  };
  const rejoin = () => { join(); showAll(); };
  model.on('change:group', rejoin);
  join();
  return {
    get cross() { return group?.cross ?? null; },
    // While a range is dragged, the others are moved along; the kernel is asked for its rows only in the end.
    move(range, isSettled) {
      const own = group;
      own.range = range;
      cancelAnimationFrame(own.moving);
      own.moving = 0;
      const act = () => { for (const each of others()) each.moveTo(own.range, isSettled); };
      if (isSettled) act(); else own.moving = requestAnimationFrame(() => { if (group === own && own.range) act(); });
    },
    follow() {
      group.range = null;
      for (const each of group.panes) each.followAlone();
    },
    point(cross) {
      if (!group || (!cross && !group.cross)) return;
      group.cross = cross;
      showAll();
    },
    refresh() { if (group?.cross) showAll(); },
    leave() { model.off('change:group', rejoin); leave(); },
  };
}
