/* SPDX-License-Identifier: Apache-2.0 */
/* Lays out the report. Text from the data enters the page as text, never as markup. */
"use strict";

(() => {
  const report = JSON.parse(document.getElementById("report-data").textContent);
  const validate = report.validate;
  const ann = validate.ann;
  const steps = validate.snn.steps;
  const modes = validate.snn.adaptive;
  const last = steps[steps.length - 1];
  const isLabelled = ann.top1 !== null;

  /* --- elements --- */

  function make(tag, attributes, ...children) {
    const element = document.createElement(tag);

    for (const [name, value] of Object.entries(attributes || {}))
      if (value !== null && value !== undefined) element.setAttribute(name, value);
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  }

  function section(id, ...children) {
    document.getElementById(id).append(...children.filter((child) => child));
  }

  function note(text) {
    return make("p", { class: "note" }, text);
  }

  /* Columns: [heading, cell of a row, is it text?]. The first one heads its row. */
  function table(caption, columns, rows) {
    const head = columns.map(([name, , isText]) =>
      make("th", { scope: "col", class: isText ? "text" : null }, name));
    const body = rows.map((row) => make("tr", null, ...columns.map(([, cell, isText], i) =>
      make(i ? "td" : "th", { scope: i ? null : "row", class: isText ? "text" : null }, cell(row)))));

    return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
      make("table", null, make("caption", null, caption),
        make("thead", null, make("tr", null, ...head)), make("tbody", null, ...body)));
  }

  /* On paper everything is open. */
  function folded(title, ...children) {
    const details = make("details", null, make("summary", null, title), ...children);
    let wasOpen = false;

    addEventListener("beforeprint", () => { wasOpen = details.open; details.open = true; });
    addEventListener("afterprint", () => { details.open = wasOpen; });
    return details;
  }

  /* A chart and the words that stand for it; its numbers are in a table nearby. */
  function figure(title, words, isWide) {
    const canvas = make("canvas", { role: "img", "aria-label": `${title}. ${words}` });

    return {
      canvas,
      element: make("figure", { class: isWide ? "wide" : null },
        make("figcaption", null, title), make("div", { class: "canvas" }, canvas)),
    };
  }

  /* --- numbers --- */

  const dash = "–";
  const isNumber = (x) => typeof x === "number";
  const fixed = (x, digits) => (isNumber(x) ? x.toFixed(digits).replace("-", "−") : dash);
  const percent = (x, digits = 2) => (isNumber(x) ? `${fixed(100 * x, digits)} %` : dash);
  const small = (x) => (!isNumber(x) ? dash : x === 0 || x >= 0.001 ? fixed(x, 4) : x.toExponential(1).replace("-", "−"));
  const points = (x) => 100 * (ann.top1 - x.top1);
  const signed = (x, digits) => (x > 0 ? "+" : "") + fixed(x, digits);
  const count = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;

  function className(index) {
    const name = isNumber(index) ? report.class_names[index] : null;

    return name || (isNumber(index) ? `class ${index}` : dash);
  }

  /* --- sections --- */

  function addTitle() {
    const loss = isLabelled ? points(last) : null;
    const compared = loss === null ? "" : Math.abs(loss) < 0.005 ? " and as many right ones"
      : `, ${fixed(Math.abs(loss), 2)} points of top-1 ${loss > 0 ? "less" : "more"}`;

    document.title = report.title;
    document.getElementById("title").textContent = report.title;
    document.getElementById("verdict").textContent =
      `After ${count(steps.length, "step")} the spiking network gives its source’s answer for ` +
      `${percent(last.agreement)} of ${count(validate.images, "image")}${compared}, for ` +
      `${fixed(last.energy_synaptic, 3)} of the source’s energy as papers count it and ` +
      `${fixed(last.energy_full, 3)} with everything counted; a quantised network of the same ` +
      `information would take ${fixed(last.energy_quantised_ann, 3)}.`;
    for (const part of document.querySelectorAll("section")) {
      part.prepend(make("h2", null, part.dataset.title));
      document.getElementById("contents").append(
        make("li", null, make("a", { href: `#${part.id}` }, part.dataset.title)));
    }
  }

  function addTiles() {
    const tiles = [
      ["source network, top-1", percent(ann.top1)],
      [`spiking, top-1, T = ${last.t}`, percent(last.top1)],
      ["agreement", percent(last.agreement)],
      ["KL, nats", small(last.kl)],
      ["synaptic energy, ratio", fixed(last.energy_synaptic, 3)],
      ["images", String(validate.images)],
    ];
    const warnings = [];

    document.getElementById("tiles").append(...tiles.map(([name, value]) =>
      make("li", null, make("span", { class: "value" }, value), make("span", { class: "name" }, name))));
    if (validate.calibration_overlap)
      warnings.push(`${count(validate.calibration_overlap, "image")} of them calibrated the network too: these figures flatter it.`);
    if (validate.skipped && validate.skipped.images)
      warnings.push(`${count(validate.skipped.images, "image")} could not be read and ${validate.skipped.images === 1 ? "was" : "were"} left out: ${validate.skipped.names.join(", ")}.`);
    if (!isLabelled) warnings.push("The samples have no labels: there is no top-1.");
    section("summary", ...warnings.map((text) => make("p", { class: "wrong" }, text)));
  }

  const stepColumns = [
    ["T", (s) => s.name || String(s.t)],
    ["top-1", (s) => percent(s.top1)],
    ["top-5", (s) => percent(s.top5)],
    ["agreement", (s) => percent(s.agreement)],
    ["KL, nats", (s) => small(s.kl)],
    ["synaptic energy", (s) => fixed(s.energy_synaptic, 3)],
    ["full energy", (s) => fixed(s.energy_full, 3)],
    ["firing rate", (s) => fixed(s.firing_rate, 4)],
    ["ms per image", (s) => fixed(s.ms_per_image, 3)],
  ];

  function addSteps() {
    const shares = figure("Accuracy and agreement", `From step 1 to ${steps.length}: agreement from ${percent(steps[0].agreement)} to ${percent(last.agreement)}.`);
    const kl = figure("Divergence from the source", `KL from ${small(steps[0].kl)} to ${small(last.kl)} nats.`);
    const axis = { title: "step", more: {} };
    const ticks = steps.map((s) => String(s.t));

    section("steps", make("div", { class: "charts" }, shares.element, kl.element),
      table("After every step, beside the source network", stepColumns,
        [Object.assign({ name: "source", energy_synaptic: 1, energy_full: 1 }, ann), ...steps]),
      note("Agreement: images with the source’s top-1. KL: mean KL(source ‖ spiking) of the softmax. Energies are ratios to the source’s, up to and with the step. Firing rate: spikes of the step alone, over neurons."));
    ReportCharts.add({
      canvas: shares.canvas, type: "line", labels: ticks, x: axis,
      y: { title: "per cent of the images", more: {} },
      datasets: () => [
        ["agreement", "agreement", "line", steps.map((s) => 100 * s.agreement)],
        ...(isLabelled ? [
          ["spiking, top-1", "snn", "line", steps.map((s) => 100 * s.top1)],
          ["source, top-1", "ann", "dashed", steps.map(() => 100 * ann.top1)]] : []),
      ],
    });
    ReportCharts.add({
      canvas: kl.canvas, type: "line", labels: ticks, x: axis,
      y: { title: "KL, nats", more: { type: "logarithmic" } },
      datasets: () => [["KL(source ‖ spiking)", "snn", "line", steps.map((s) => s.kl)]],
    });
  }

  function addEnergy() {
    const lossOf = isLabelled ? points : (x) => x.kl;
    const all = [...steps.map((s) => ({ row: s, text: `T=${s.t}` })), ...modes.map((m) => ({ row: m, text: m.mode, isMode: true }))];
    const losses = [0, ...all.map((p) => lossOf(p.row))];
    const low = Math.min(...losses), high = Math.max(...losses);
    const room = (high - low || 1) * 0.08;
    const front = all.filter((p) => !all.some((q) => q !== p &&
      q.row.energy_synaptic <= p.row.energy_synaptic && lossOf(q.row) <= lossOf(p.row) &&
      (q.row.energy_synaptic < p.row.energy_synaptic || lossOf(q.row) < lossOf(p.row))))
      .sort((p, q) => p.row.energy_synaptic - q.row.energy_synaptic);
    const dots = (some, field, hasText) => some.map((p) => ({ x: p.row[field], y: lossOf(p.row), text: hasText ? p.text : "" }));
    const upright = (x) => [{ x, y: low - room }, { x, y: high + room }];
    const exact = all.filter((p) => !p.isMode), adaptive = all.filter((p) => p.isMode);
    const words = front.map((p) => `${p.text}: energy ${fixed(p.row.energy_synaptic, 3)}, loss ${fixed(lossOf(p.row), 3)}`).join("; ");
    const chart = figure("Energy against loss", `Nothing beats: ${words}. Quantised network: energy ${fixed(last.energy_quantised_ann, 3)}.`, true);

    section("energy", make("div", { class: "charts" }, chart.element),
      note(`Left and low is good. Synaptic energy counts accumulates against multiply-accumulates of the blocks’ products (Horowitz, ISSCC 2014, 45 nm), as papers do; full energy adds weight reads, state, membranes and everything analog. The quantised network is one of the same weights whose activations have as many values as a neuron has answers: what a sceptic compares with. Its loss was not measured, so it is a line.` +
        (isLabelled ? ` One image is ${fixed(100 / validate.images, 2)} points.` : "")),
      table("Points that nothing beats in synaptic energy and loss", [
        ["point", (p) => p.text],
        [isLabelled ? "loss, points of top-1" : "KL, nats", (p) => (isLabelled ? signed(lossOf(p.row), 2) : small(lossOf(p.row)))],
        ["synaptic energy", (p) => fixed(p.row.energy_synaptic, 3)],
        ["full energy", (p) => fixed(p.row.energy_full, 3)],
        ["over the quantised network", (p) => `${fixed(p.row.energy_synaptic / last.energy_quantised_ann, 1)} ×`],
      ], front));
    ReportCharts.add({
      canvas: chart.canvas, type: "scatter",
      x: { title: "energy, ratio to the source network", more: { beginAtZero: true } },
      y: { title: isLabelled ? "loss, points of top-1" : "KL, nats", more: { min: low - room, max: high + room, ticks: { callback: (v) => fixed(v, 2), includeBounds: false } } },
      datasets: () => [
        ["exact, synaptic", "snn", "points", dots(exact, "energy_synaptic", true)],
        ...(adaptive.length ? [["modes, synaptic", "mode", "points", dots(adaptive, "energy_synaptic", true)]] : []),
        ["with everything counted", "full", "hollow", dots(all, "energy_full", false)],
        ["nothing is better", "snn", "dashed", dots(front, "energy_synaptic", false)],
        ["quantised network", "quantised", "dashed", upright(last.energy_quantised_ann)],
        ["source network", "ann", "dashed", upright(1)],
      ],
      tooltip: { label: (c) => `${c.dataset.label} ${c.raw.text || ""}: energy ${fixed(c.parsed.x, 3)}, loss ${fixed(c.parsed.y, 3)}` },
    });
  }

  function addModes() {
    if (!modes.length) {
      section("modes", make("p", null, "The file has no other point than exact, in which every image takes all steps."));
      return;
    }
    const most = Math.max(...modes.map((m) => m.steps_histogram.length));
    const ticks = Array.from({ length: most }, (_, t) => String(t + 1));
    const hues = ["snn", "mode", "full", "agreement", "ann", "quantised"];
    const steps_chart = figure("Steps that images took", modes.map((m) => `${m.mode}: ${fixed(m.mean_steps, 2)} on average`).join("; "));
    const merging = modes.filter((m) => m.tokens_per_layer.some((share) => share < 1));
    const tokens = merging.length ? figure("Tokens left, layer by layer", merging.map((m) => `${m.mode}: ${percent(m.tokens_per_layer[m.tokens_per_layer.length - 1], 0)} at the last attention`).join("; ")) : null;

    section("modes", make("div", { class: "charts" }, steps_chart.element, tokens && tokens.element),
      table("Operating points", [
        ["mode", (m) => m.mode],
        ["policy", (m) => m.policy, true],
        ["mean steps", (m) => fixed(m.mean_steps, 2)],
        ["tokens", (m) => percent(m.mean_tokens, 1)],
        ...stepColumns.slice(1, 7), stepColumns[8],
        ["images by steps", (m) => m.steps_histogram.map((n, t) => `${t + 1}: ${n}`).join(", "), true],
      ], modes));
    ReportCharts.add({
      canvas: steps_chart.canvas, type: "bar", labels: ticks, x: { title: "steps", more: {} },
      y: { title: "images", more: { beginAtZero: true } },
      datasets: () => modes.map((m, i) => [m.mode, hues[i % hues.length], "bar", ticks.map((_, t) => m.steps_histogram[t] || 0)]),
    });
    if (tokens)
      ReportCharts.add({
        canvas: tokens.canvas, type: "line", labels: merging[0].tokens_per_layer.map((_, i) => String(i + 1)),
        x: { title: "attention", more: {} }, y: { title: "per cent of the tokens", more: { beginAtZero: true } },
        datasets: () => merging.map((m, i) => [m.mode, hues[i % hues.length], "line", m.tokens_per_layer.map((share) => 100 * share)]),
      });
  }

  /* "blocks.3.attn.query" stands in row "blocks.3", column "attn.query". */
  function splitSite(name) {
    const found = /^(.*?\d+)\.(.+)$/.exec(name);

    return found ? [found[1], found[2]] : ["", name];
  }

  /* A name that may be broken behind its dots. */
  function breakable(name) {
    return name.split(/(?<=\.)/).flatMap((part) => [part, make("wbr")]);
  }

  function heatTable(title, kind, sites, t, valueOf, shareOf, digits) {
    const columns = [...new Set(sites.map((s) => splitSite(s.site)[1]))];
    const rows = [...new Set(sites.map((s) => splitSite(s.site)[0]))];
    const byName = new Map(sites.map((s) => [s.site, s]));
    const cell = (row, column) => {
      const site = byName.get(row ? `${row}.${column}` : column);
      const value = site ? valueOf(site)[t] : null;
      const share = isNumber(value) ? Math.min(1, Math.max(0, shareOf(value))) : 0;

      return make("td", { class: !isNumber(value) ? "none" : share > 0.55 ? "strong" : null, style: `--share: ${share.toFixed(3)}` },
        site ? fixed(value, digits) : "");
    };

    return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": title },
      make("table", { class: `heat ${kind}` }, make("caption", null, title),
        make("thead", null, make("tr", null, make("td", null), ...columns.map((c) => make("th", { scope: "col" }, ...breakable(c))))),
        make("tbody", null, ...rows.map((r) => make("tr", null, make("th", { scope: "row" }, r || "others"), ...columns.map((c) => cell(r, c)))))));
  }

  function addSites() {
    const sites = validate.layers.length ? validate.layers : validate.site_rates || [];
    const place = make("div");
    const leaves = validate.leaves_at;

    if (!sites.length) {
      section("sites", make("p", null, "Not measured: it needs the file’s own source network, or --layers."));
      return;
    }
    const show = (t) => place.replaceChildren(
      heatTable(`Firing rate at step ${t + 1}, spikes over neurons`, "rate", sites, t, (s) => s.rate, (v) => v, 2),
      heatTable(`Signal to noise after step ${t + 1}, dB`, "snr", sites, t, (s) => s.snr_db, (v) => (30 - v) / 30, 1));
    const choice = make("fieldset", { class: "choice" }, make("legend", null, "Step"), ...sites[0].rate.map((_, t) => {
      const input = make("input", { type: "radio", name: "step", value: t });

      input.checked = t === sites[0].rate.length - 1;
      input.addEventListener("change", () => show(t));
      return make("label", null, input, ` ${t + 1}`);
    }));
    const perStep = (name, of, digits) => sites[0].rate.map((_, t) => [`${name}, t = ${t + 1}`, (s) => fixed(of(s)[t], digits)]);

    show(sites[0].rate.length - 1);
    section("sites",
      make("p", null, `On ${count(validate.layer_images, "image")}, everything before a site spiking. ` +
        (leaves ? `The spiking network leaves its source at ${leaves.site}: ${fixed(leaves.snr_db, 1)} dB after step ${leaves.t}, below ${fixed(leaves.bound_db, 0)}.`
          : "The spiking network stays with its source at every site.")),
      choice, place,
      folded("All sites and steps", table("Sites", [
        ["site", (s) => s.site], ...perStep("rate", (s) => s.rate, 3), ...perStep("SNR", (s) => s.snr_db, 1),
        ...(sites[0].kl_alone ? [...perStep("KL alone", (s) => s.kl_alone, 6), ...perStep("KL up to here", (s) => s.kl_cumulative, 6)] : []),
      ], sites)));
  }

  function card(image, hasMap) {
    const drawn = hasMap ? image.modes.find((m) => m.map) : null;
    const size = (img) => img.addEventListener("load", () => { if (img.naturalWidth < 100) img.className = "small"; });
    const picture = (source, words) => {
      const img = make("img", { alt: words });

      size(img);
      img.src = source;
      return make("div", null, img);
    };
    const mark = (index) => (image.label === null ? null : index === image.label ? "right" : "wrong");
    const answer = (name, given) => [make("dt", null, name),
      make("dd", { class: mark(given.class) }, className(given.class)), make("dd", { class: "share" }, percent(given.p, 1))];
    const settled = image.steps.findIndex((s, t) => image.steps.slice(t).every((later) => later.class === image.snn.class));

    return make("li", { class: "card" },
      make("div", { class: "pictures" }, picture(image.picture, `Sample ${image.name}`),
        drawn ? picture(drawn.map, `Where its tokens merged in ${drawn.mode}`) : null),
      make("h3", null, image.name),
      make("dl", null,
        ...(image.label === null ? [] : [make("dt", null, "label"), make("dd", null, className(image.label)), make("dd", { class: "share" })]),
        ...answer("source", image.ann), ...answer(`T = ${image.steps.length}`, image.snn),
        make("dt", null, "settled"), make("dd", null, settled < 0 ? "never" : `after step ${settled + 1}`), make("dd", { class: "share" }),
        ...image.modes.flatMap((m) => [...answer(m.mode, m),
          make("dd", { class: "more" }, `${count(m.steps, "step")}, ${percent(m.tokens, 0)} of the tokens`)]),
        ...(hasMap ? [] : [make("dt", null, "KL"), make("dd", null, `${small(image.kl)} nats`), make("dd", { class: "share" })])));
  }

  function addGallery() {
    const hasMaps = validate.examples.some((image) => image.modes.some((m) => m.map));

    section("gallery",
      make("p", null, "The first samples, as the network sees them. " + (hasMaps
        ? "Beside each: coloured patches went into another token, in the colour of the layer where they did (dark: early, yellow: late; the bar is the scale); lines part patches that do not stand for one token in the end."
        : "No mode of this file merges tokens, so there is no map of them.")),
      make("ul", { class: "cards" }, ...validate.examples.map((image) => card(image, true))));
  }

  function addWorst() {
    const found = validate.disagreements;

    section("worst",
      make("p", null, found.images
        ? `${count(found.images, "image")} of ${validate.images} get another answer than the source’s; these diverge most.`
        : "Every image gets its source’s answer."),
      make("ul", { class: "cards" }, ...found.worst.map((image) => card(image, false))));
  }

  function addConfusion() {
    const pairs = (title, from, to, rows) => (!rows ? null : rows.length === 0 ? make("div", null, make("h3", null, title), make("p", null, "None.")) :
      table(title, [[from, (p) => className(p.from)], [to, (p) => className(p.to), true], ["images", (p) => String(p.images)]], rows.slice(0, 12)));
    const confusion = validate.confusion;
    const classes = (validate.classes || []).filter((c) => c.images);

    section("confusion", make("div", { class: "columns" },
      pairs("Source against label", "label", "source", confusion.ann),
      pairs("Spiking against label", "label", "spiking", confusion.snn),
      pairs("Spiking against source", "source", "spiking", confusion.ann_snn)));
    if (classes.length < 2) return;
    const chart = classes.length <= 40 ? figure("Top-1 by class", `Source and spiking network for ${classes.length} classes.`, true) : null;

    section("confusion", chart && make("div", { class: "charts" }, chart.element),
      folded("Every class", table("Top-1 by class", [
        ["class", (c) => className(c.class)], ["images", (c) => String(c.images)], ["source", (c) => percent(c.ann_top1)],
        ["spiking", (c) => percent(c.snn_top1)], ["difference, points", (c) => signed(100 * (c.snn_top1 - c.ann_top1), 2)],
        ["agreement", (c) => percent(c.agreement)]], classes)));
    if (chart)
      ReportCharts.add({
        canvas: chart.canvas, type: "bar", labels: classes.map((c) => className(c.class)), x: { title: "", more: {} },
        y: { title: "top-1, per cent", more: { beginAtZero: true } },
        datasets: () => [["source", "ann", "bar", classes.map((c) => 100 * c.ann_top1)],
          ["spiking", "snn", "bar", classes.map((c) => 100 * c.snn_top1)]],
      });
  }

  function addNetwork() {
    const network = report.network;
    const kinds = new Map();

    for (const site of network.sites) {
      const key = `${site.kind}${site.spiking ? "" : ", kept analog"}`;
      const own = kinds.get(key) || { kind: site.kind, spiking: site.spiking, sites: 0, neurons: 0 };

      own.sites += 1;
      own.neurons += site.tokens * (site.kind === "numerator" && site.keys ? site.channels * site.keys : site.channels);
      kinds.set(key, own);
    }
    const reads = { linear: "weights of Linear layers", query: "Q·Kᵀ", key: "Q·Kᵀ", value: "P·V", numerator: "P·V" };

    section("network", make("p", null, "Spikes alone reach the weights and both products of attention; everything else is computed on decoded values."),
      make("div", { class: "columns" },
        table("Spike-driven", [["what its spikes reach", (k) => reads[k.kind] || k.kind], ["kind of site", (k) => k.kind, true],
          ["sites", (k) => String(k.sites)], ["spikes", (k) => (k.spiking ? "yes" : "kept analog")], ["neurons", (k) => k.neurons.toLocaleString("en")]], [...kinds.values()]),
        table("Analog", [["operator", (a) => a.op], ["count", (a) => String(a.count)], ["why", (a) => a.why, true]], network.analog)));
  }

  function addSettings() {
    const asked = validate.settings;
    const facts = [
      ["Transpike", report.version], ["file", report.spike_path], ["its SHA-256", report.spike_sha256],
      ["written by", report.network.tool], ["source network", report.source_path], ["its SHA-256", asked.network_sha256],
      ["samples", asked.data], ["seed of their order", String(asked.seed)],
      ["left out at the start", String(asked.skip)], ["at most", asked.limit ? String(asked.limit) : "all"],
      ["coding", `${report.network.coding}, ${report.network.steps} steps`], ["modes", asked.mode], ["policy", asked.policy === "mode" ? "as the mode says" : asked.policy],
      ["merging", asked.merging ? "as the mode says" : "off"],
      ["refinement", asked.refining ? "as the mode says" : "off"], ["threads, batch", `${validate.threads}, ${validate.batch}`],
    ].filter(([, value]) => value);

    section("settings",
      table("Settings", [["", (f) => f[0]], ["value", (f) => make("code", null, f[1]), true]], facts),
      asked.network_sha256 !== asked.source_sha256 ? make("p", { class: "wrong" }, `The network is not the file’s source (${asked.source_sha256}).`) : null,
      report.conversion ? folded("What the conversion was asked for",
        make("pre", { tabindex: "0" }, JSON.stringify(report.conversion, null, 2))) : null,
      report.commands.length ? make("h3", null, "To make it again") : null,
      report.commands.length ? make("pre", { tabindex: "0" }, report.commands.join("\n")) : null);
  }

  addTitle();
  addTiles();
  addSteps();
  addEnergy();
  addModes();
  addSites();
  addGallery();
  addWorst();
  addConfusion();
  addNetwork();
  addSettings();
})();
