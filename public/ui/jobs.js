// Jobs and how far they are.

import { shortTime } from '../text.js';
import { h, icon, keyed, setHidden } from './dom.js';

const ENDED = { published: 100, failed: null };
const WORDS = { in_progress: 'in progress' };

export function createJobs({ store, actions }) {
  const { state } = store;
  const list = h('ul.jobs');
  const empty = h('p.empty', {}, icon('job'), h('strong', {}, 'No jobs yet'), 'Follow one by its id to see its progress live.');
  const id = h('input', { id: 'job-id', type: 'text', required: true, spellcheck: 'false', autocapitalize: 'off', autocomplete: 'off', pattern: '[A-Za-z0-9_.@+:\\-]{1,128}', placeholder: '42' });
  const follow = (event) => {
    event.preventDefault();
    if (actions.open(`job:${id.value.trim()}`)) id.value = '';
  };
  const form = h('form.inline', { onsubmit: follow }, h('label', { for: 'job-id' }, 'job id'), id, h('button.plain', { type: 'submit' }, 'Follow'));
  const element = h('div.pane', {}, form, list, empty);

  function render() {
    const jobs = [...state.jobs.values()].sort((a, b) => (b.timestamp ?? '').localeCompare(a.timestamp ?? ''));
    setHidden(empty, jobs.length > 0);
    keyed(list, jobs, ({ jobId }) => jobId, (job) => JSON.stringify(job), row);
  }

  function row({ jobId, status, progress, currentPlatform, error, refusal, timestamp }) {
    const known = ENDED[status] ?? progress;
    const percent = Number.isFinite(known) ? Math.round(known) : null;
    const details = [WORDS[status] ?? status ?? 'waiting for its first status', currentPlatform].filter(Boolean).join(' · ');
    const bar = h('div.progress', {
      role: 'progressbar', 'aria-label': `Job ${jobId}`, 'aria-valuemin': 0, 'aria-valuemax': 100,
      'aria-valuenow': percent, 'aria-valuetext': percent === null ? details : `${percent} %, ${details}`,
    }, h('div.done'));
    bar.firstChild.style.width = `${percent ?? 0}%`;
    return h('li.job', { 'data-status': status },
      h('p', {}, h('strong', {}, `Job ${jobId}`), h('span.number', {}, percent === null ? '' : `${percent} %`)),
      bar,
      h('p.hint', {}, details, timestamp && h('time', { datetime: timestamp }, shortTime(Date.parse(timestamp)))),
      (error || refusal) && h('p.problem', {}, error ?? `It cannot be followed: ${refusal}`));
  }

  return { element, render };
}
