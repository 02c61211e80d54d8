// What pages can do without: times in the reader's zone, charts, and to look again by themselves.
(() => {
  'use strict';
  const instant = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });
  const short = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });
  const day = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium' });

  function localTimes(root) {
    for (const shown of root.querySelectorAll('time[datetime]')) {
      const at = new Date(shown.dateTime);
      if (Number.isNaN(at.getTime()) || shown.title) continue;
      shown.title = shown.dateTime;
      shown.textContent = (shown.dataset.show === 'day' ? day : instant).format(at);
    }
  }

  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // The data is that of the table below the chart: {times, series: [{label, scale, values}], marks}.
  function chart(place) {
    const data = JSON.parse(document.getElementById(place.dataset.of).textContent);
    if (!window.uPlot || data.times.length < 2) return;
    const lines = ['--fill', '--worst', '--ok'];
    const axis = { stroke: color('--quiet'), grid: { stroke: color('--line'), width: 1 }, ticks: { stroke: color('--line') } };
    const marks = {
      hooks: {
        draw: (plot) => {
          const { ctx, bbox } = plot;
          ctx.save();
          for (const mark of data.marks) {
            const x = Math.round(plot.valToPos(mark.at, 'x', true));
            if (x < bbox.left || x > bbox.left + bbox.width) continue;
            ctx.strokeStyle = color({ hand: '--warn', rules: '--ok', event: '--link' }[mark.kind] || '--quiet');
            ctx.setLineDash([4, 4]);
            ctx.beginPath();
            ctx.moveTo(x, bbox.top);
            ctx.lineTo(x, bbox.top + bbox.height);
            ctx.stroke();
          }
          ctx.restore();
        },
      },
    };
    const options = {
      width: place.clientWidth, height: 220, plugins: [marks],
      scales: { y: { range: [0, 100] } },
      axes: [{ ...axis, values: (_, at) => at.map((one) => short.format(new Date(one * 1000))) }, { ...axis, size: 40 }],
      series: [{}, ...data.series.map((one, at) => ({
        label: one.label, stroke: color(lines[at % 3]), width: 2, spanGaps: false,
        value: (_, value) => (value === null ? '–' : String(Math.round(value))),
      }))],
    };
    const plot = new uPlot(options, [data.times, ...data.series.map((one) => one.values)], place);
    new ResizeObserver(() => plot.setSize({ width: place.clientWidth, height: 220 })).observe(place);
  }

  // Looks again where nothing is being typed or read in a form.
  function lookAgain() {
    const main = document.querySelector('main[data-again]');
    if (!main) return;
    setInterval(async () => {
      const busy = document.hidden || main.contains(document.activeElement) && document.activeElement !== main;
      if (busy || main.querySelector('details[open]')) return;
      try {
        const answer = await fetch(location.href, { headers: { accept: 'text/html' } });
        if (!answer.ok) return;
        const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html').querySelector('main');
        if (!fresh) return;
        main.replaceChildren(...fresh.childNodes);
        localTimes(main);
      } catch { /* The next time may do better. */ }
    }, Number(main.dataset.again) * 1000);
  }

  // Asks once more before what cannot be undone.
  function questions() {
    for (const risky of document.querySelectorAll('form[data-ask]')) {
      risky.addEventListener('submit', (event) => {
        if (!window.confirm(risky.dataset.ask)) event.preventDefault();
      });
    }
  }

  localTimes(document);
  document.querySelectorAll('.chart[data-of]').forEach(chart);
  lookAgain();
  questions();
})();
