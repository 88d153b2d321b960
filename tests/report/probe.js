/* SPDX-License-Identifier: Apache-2.0 */
/* Put in front of a report's scripts by check_report.py: what happens in the page, as JSON in the
 * attribute data-probe of the root element, where --dump-dom shows it. */
"use strict";

(() => {
  const problems = [];
  const keep = (kind) => (...words) => problems.push(`${kind}: ${words.map(String).join(" ")}`);

  addEventListener("error", (event) => keep("error")(event.message || event.target.outerHTML), true);
  addEventListener("unhandledrejection", (event) => keep("rejection")(event.reason));
  document.addEventListener("securitypolicyviolation", (event) => keep("policy")(event.blockedURI));
  console.error = keep("console.error");
  console.warn = keep("console.warn");

  /* Colours of a canvas, and the share of its pixels that were painted. */
  function measure(canvas) {
    const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    const colours = new Set();
    let painted = 0;

    for (let i = 0; i < pixels.length; i += 4) {
      if (!pixels[i + 3]) continue;
      painted += 1;
      colours.add((pixels[i] << 16) | (pixels[i + 1] << 8) | pixels[i + 2]);
    }
    return { label: canvas.getAttribute("aria-label"), colours: colours.size, painted: (4 * painted) / pixels.length,
      width: canvas.width, height: canvas.height };
  }

  addEventListener("load", () => {
    const found = {
      problems,
      canvases: [...document.querySelectorAll("canvas")].map(measure),
      requests: performance.getEntriesByType("resource").map((entry) => entry.name).filter((name) => !name.startsWith("data:")),
      images: [...document.images].map((image) => [image.naturalWidth, image.naturalHeight, image.alt]),
      tables: [...document.querySelectorAll("caption")].map((caption) => caption.textContent),
      headings: [...document.querySelectorAll("h2")].map((heading) => heading.textContent),
      text: document.getElementById("main").innerText,
      title: document.title,
      scripts: document.scripts.length,
      overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
      injected: typeof window.injected,
    };

    document.documentElement.dataset.probe = JSON.stringify(found);
  });
})();
