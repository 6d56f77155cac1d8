// Files that came in: read through the server with the token in the header, shown from memory.

import { h, setText } from './dom.js';

const KEPT_MAX = 60;
// What browsers show without running anything in it. SVG is not among them.
const PICTURES = /^image\/(png|jpeg|gif|webp|avif|bmp)$/;
const PLAYABLE = /^(audio|video)\//;

/** @param {{ api: object, problemOf: (error: Error) => string }} options */
export function createMedia({ api, problemOf }) {
  const files = new Map(); // `sid index` -> Promise<{ url, type }>, the least recently used first

  function fetchFile(place, sid, index) {
    const key = `${sid} ${index}`;
    const file = files.get(key) ?? api.media(place, sid, index).then((blob) => ({ url: URL.createObjectURL(blob), type: blob.type }));
    files.delete(key);
    files.set(key, file);
    // A try that failed is not kept: the next may do better.
    file.catch(() => files.delete(key));
    if (files.size > KEPT_MAX) {
      const [oldest, last] = files.entries().next().value;
      files.delete(oldest);
      last.then(({ url }) => URL.revokeObjectURL(url));
    }
    return file;
  }

  /** An element for one file of a message; it loads when it is made, that is when it is seen. */
  function view(place, { sid }, { contentType }, index) {
    const note = h('span', {}, 'Loading attachment…');
    const element = h('div.media', {}, note);
    load();

    async function load() {
      try {
        const { url, type } = await fetchFile(place, sid, index);
        element.replaceChildren(shown(url, type || contentType || '', `attachment-${index + 1}`));
      } catch (error) {
        setText(note, `The attachment could not be loaded: ${problemOf(error)}`);
        element.replaceChildren(note, h('button.plain', { type: 'button', onclick: load }, 'Load again'));
      }
    }
    return element;
  }

  function shown(url, type, name) {
    const download = h('a', { href: url, download: name }, `Download ${type || 'file'}`);
    if (PICTURES.test(type)) return h('a.picture', { href: url, download: name, title: 'Download' }, h('img', { src: url, alt: 'Picture that came in; activate to download' }));
    if (PLAYABLE.test(type)) return h('span', {}, h(type.startsWith('audio') ? 'audio' : 'video', { src: url, controls: true, preload: 'metadata' }), download);
    return download;
  }

  return { view };
}
