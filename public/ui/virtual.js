// A list of which only what is seen is in the document. Rows may have any height: it is measured once they are there, and
// guessed before. What is read stays where it is while rows above it come, go and grow.

import { setAttribute } from './dom.js';

const OVERSCAN_PX = 600;
// How far from the end still counts as reading the newest.
const NEAR_END_PX = 48;
// Guesses become measures in one or two passes; more would be a row that never keeps its height.
const PASSES_MAX = 4;

/**
 * @param {object} options
 * @param {HTMLElement} options.scroller  scrolls; has the list and nothing else in its flow
 * @param {HTMLElement} options.list
 * @param {number} options.estimate  a row's height, px
 * @param {(item: any) => string} options.keyOf
 * @param {(item: any) => string} options.signature  a row is made anew when it changes
 * @param {(item: any) => HTMLElement} options.make
 * @param {(row: HTMLElement, index: number, item: any) => void} [options.place]  told of each row that is there
 * @param {boolean} [options.sticksToEnd]  whoever reads the newest goes on reading the newest
 * @param {(item: any) => boolean} [options.stays]  what is read is held by such an item: it does not move among the others
 * @param {() => void} [options.scrolled]
 */
export function createVirtualList({ scroller, list, estimate, keyOf, signature, make, place = () => {}, stays = () => true, sticksToEnd = false, scrolled = () => {} }) {
  let items = [];
  let tops = new Float64Array(1); // tops[i] is where item i begins; the last, where the list ends
  let heights = new Map();
  let rows = new Map(); // key -> { element, sign }
  let isAtEnd = sticksToEnd;
  let anchor = null; // { key, below }: the first row that is seen, and how far above the edge it begins
  let width = 0;
  let frame = 0;

  const resized = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      if (target === scroller) {
        if (scroller.clientWidth !== width) heights = new Map();
        width = scroller.clientWidth;
      }
    }
    schedule();
  });
  resized.observe(scroller);
  scroller.addEventListener('scroll', () => {
    notePosition();
    schedule();
    scrolled();
  }, { passive: true });

  function schedule() {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      render();
    });
  }

  function notePosition() {
    isAtEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR_END_PX;
    let first = indexAt(scroller.scrollTop);
    while (items[first] && !stays(items[first])) first += 1;
    anchor = items[first] ? { key: keyOf(items[first]), below: scroller.scrollTop - tops[first] } : null;
  }

  function measureTops() {
    if (tops.length !== items.length + 1) tops = new Float64Array(items.length + 1);
    for (let index = 0, top = 0; index < items.length; index++) {
      top += heights.get(keyOf(items[index])) ?? estimate;
      tops[index + 1] = top;
    }
  }

  /** The item at this height. */
  function indexAt(top) {
    let low = 0;
    let high = items.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (tops[middle] <= top) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  function set(next) {
    items = next;
    render();
  }

  function render() {
    measureTops();
    for (let pass = 0; pass < PASSES_MAX; pass++) {
      const target = wantedTop();
      const from = indexAt(target - OVERSCAN_PX);
      const until = Math.min(items.length, indexAt(target + scroller.clientHeight + OVERSCAN_PX) + 1);
      fill(from, until);
      list.style.paddingTop = `${tops[from]}px`;
      list.style.paddingBottom = `${tops[items.length] - tops[until]}px`;
      const changed = measure(from, until);
      if (changed) measureTops();
      const top = wantedTop();
      if (!changed || pass === PASSES_MAX - 1) {
        // What is below the list, such as padding, is to be seen, too.
        const wanted = sticksToEnd && isAtEnd ? scroller.scrollHeight - scroller.clientHeight : top;
        if (Math.abs(scroller.scrollTop - wanted) > 0.5) scroller.scrollTop = wanted;
        return;
      }
    }
  }

  /** Where to scroll to so that what is read stays where it is. */
  function wantedTop() {
    if (sticksToEnd && isAtEnd) return Math.max(0, tops[items.length] - scroller.clientHeight);
    if (!anchor || !sticksToEnd) return scroller.scrollTop;
    const index = indexOfAnchor();
    return index < 0 ? scroller.scrollTop : tops[index] + anchor.below;
  }

  function indexOfAnchor() {
    const near = indexAt(scroller.scrollTop);
    if (items[near] && keyOf(items[near]) === anchor.key) return near;
    return items.findIndex((item) => keyOf(item) === anchor.key);
  }

  function fill(from, until) {
    const next = new Map();
    let following = list.firstChild;
    for (let index = from; index < until; index++) {
      const item = items[index];
      const key = keyOf(item);
      const sign = signature(item);
      let row = rows.get(key);
      if (!row || row.sign !== sign) {
        const element = make(item);
        if (row) {
          resized.unobserve(row.element);
          if (following === row.element) following = element;
          row.element.replaceWith(element);
        }
        row = { element, sign };
        resized.observe(element);
      }
      if (row.element === following) following = following.nextSibling;
      else list.insertBefore(row.element, following);
      setAttribute(row.element, 'aria-setsize', items.length);
      setAttribute(row.element, 'aria-posinset', index + 1);
      place(row.element, index, item);
      next.set(key, row);
      rows.delete(key);
    }
    for (const { element } of rows.values()) {
      resized.unobserve(element);
      element.remove();
    }
    rows = next;
  }

  function measure(from, until) {
    let changed = false;
    for (let index = from; index < until; index++) {
      const key = keyOf(items[index]);
      const height = rows.get(key).element.getBoundingClientRect().height;
      if (height > 0 && Math.abs((heights.get(key) ?? estimate) - height) > 0.5) changed = true;
      if (height > 0) heights.set(key, height);
    }
    return changed;
  }

  function scrollToEnd() {
    isAtEnd = true;
    render();
  }

  /** Scrolls as little as is needed. */
  function reveal(index) {
    const [top, bottom] = [tops[index], tops[index + 1]];
    if (top < scroller.scrollTop) scroller.scrollTop = top;
    else if (bottom > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = bottom - scroller.clientHeight;
    render();
  }

  /** Another list: nothing of what was measured or read holds. */
  function reset() {
    heights = new Map();
    anchor = null;
    isAtEnd = sticksToEnd;
    scroller.scrollTop = 0;
  }

  return { set, reset, reveal, scrollToEnd, redraw: render, rowOf: (key) => rows.get(key)?.element, isAtEnd: () => isAtEnd, isAtStart: () => scroller.scrollTop < OVERSCAN_PX };
}
