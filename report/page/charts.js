/* SPDX-License-Identifier: Apache-2.0 */
/* Charts by Chart.js in the page's own colours: built again from them when the scheme changes. */
"use strict";

const ReportCharts = (() => {
  const made = [];

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  }

  /* Draws each point's `text` beside it. */
  const labels = {
    id: "labels",
    afterDatasetsDraw(chart) {
      const context = chart.ctx;
      const taken = [];

      context.save();
      context.font = "12px system-ui, sans-serif";
      context.textBaseline = "middle";
      chart.data.datasets.forEach((set, i) => {
        if (!chart.isDatasetVisible(i)) return;
        set.data.forEach((point, k) => {
          if (!point || !point.text) return;
          const at = chart.getDatasetMeta(i).data[k];
          const width = context.measureText(point.text).width;
          const isLeft = at.x + 8 + width > chart.chartArea.right;
          const x = isLeft ? at.x - 8 - width : at.x + 8;
          let y = at.y;

          while (taken.some((t) => Math.abs(t.y - y) < 13 && t.x < x + width && x < t.x + t.width))
            y -= 13;
          taken.push({ x, y, width });
          context.fillStyle = colour("ink");
          context.fillText(point.text, x, y);
        });
      });
      context.restore();
    },
  };

  function axis(title, more) {
    return Object.assign({
      title: { display: true, text: title, color: colour("soft") },
      grid: { color: colour("line") },
    }, more, { ticks: Object.assign({ color: colour("soft") }, more.ticks) });
  }

  /* A dataset in a colour of the page. `style`: "line", "dashed", "points", "hollow" or "bar". */
  function dataset(name, hue, style, data) {
    const own = colour(hue);
    const isPoints = style === "points" || style === "hollow";
    const set = {
      label: name, data, borderColor: own, backgroundColor: own, borderWidth: 2, pointRadius: 4,
      pointHoverRadius: 6, showLine: !isPoints,
    };

    if (style === "dashed") Object.assign(set, { borderDash: [6, 5], pointRadius: 0, pointStyle: "line" });
    if (style === "hollow") Object.assign(set, { backgroundColor: colour("panel"), pointStyle: "rectRot" });
    if (style === "points") Object.assign(set, { pointRadius: 5 });
    return set;
  }

  function draw(entry) {
    const options = {
      responsive: true, maintainAspectRatio: false, animation: false,
      interaction: { mode: "nearest", intersect: false },
      plugins: {
        legend: { position: "bottom", labels: { color: colour("ink"), usePointStyle: true, boxHeight: 7, padding: 14 } },
        tooltip: { callbacks: entry.tooltip || {} },
      },
      scales: {
        x: axis(entry.x.title, entry.x.more),
        y: axis(entry.y.title, entry.y.more),
      },
    };

    entry.chart = new Chart(entry.canvas, {
      type: entry.type,
      data: { labels: entry.labels, datasets: entry.datasets().map((s) => dataset(...s)) },
      options,
      plugins: [labels],
    });
  }

  function redraw() {
    for (const entry of made) {
      entry.chart.destroy();
      draw(entry);
    }
  }

  /* `datasets` gives arguments of dataset(), so that colours are read when it is drawn. */
  function add(entry) {
    made.push(entry);
    draw(entry);
  }

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  /* On paper canvases keep the size they were drawn with: draw them in the colours of print. */
  matchMedia("print").addEventListener("change", redraw);
  return { add };
})();
