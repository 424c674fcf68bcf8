// A browser keeps the code of each module until its page is closed, and a widget's module is new each time a cell
// is run. So this one is small, and the code itself is loaded once per page.
const loaded = (globalThis.__kucoinCode ??= new Map());

function codeOf(model) {
  const code = model.get('code');
  if (!loaded.has(code)) {
    const url = URL.createObjectURL(new Blob([code], {type: 'text/javascript'}));
    loaded.set(code, import(url).finally(() => URL.revokeObjectURL(url)).catch((error) => {
      loaded.delete(code);  // the next widget tries it again
      throw error;
    }));
  }
  return loaded.get(code);
}

export default {
  async initialize(context) { return (await codeOf(context.model)).default.initialize?.(context); },
  async render(context) { return (await codeOf(context.model)).default.render(context); },
};
