// JupyterLab's command mode takes single keys wherever the focus is: `d d` deletes the cell, arrows choose
// another one. Within our widgets such a key is for what has the focus. JupyterLab listens on the document, in
// the bubbling phase, so what is stopped at the root of a widget has reached the control, and goes no further.
const isForJupyter = ({key, shiftKey, ctrlKey, metaKey, altKey}) => ctrlKey || metaKey || altKey
  || key === 'Escape' || (key === 'Enter' && shiftKey) || /^F\d+$/.test(key);

function keepKeys(root) {
  const isWithin = () => root.parentElement?.closest('.kr-dashboard');  // which keeps them, after its own keys
  const keep = (event) => { if (!isForJupyter(event) && !isWithin()) event.stopPropagation(); };
  root.addEventListener('keydown', keep);
  return () => root.removeEventListener('keydown', keep);
}
