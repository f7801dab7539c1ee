// Puts newer parts of the page in their places as they arrive. Without it, reloading shows the same.
"use strict";
(() => {
  const root = document.documentElement;
  const waiting = new Map();
  let source = null;
  let again = 0;

  // Text that is being selected, to be copied, stays until it is not.
  function isSelected(part) {
    const selection = getSelection();
    return selection !== null && !selection.isCollapsed && part.contains(selection.anchorNode);
  }

  // What the reader opened, scrolled to and stands on stays so.
  function replace(part, html) {
    const all = (selector) => [...part.querySelectorAll(selector)];
    const stops = () => all("a, summary, [tabindex]");
    const open = all("details").map((details) => details.open);
    const scrolled = all(".scroll").map((box) => box.scrollLeft);
    const focus = stops().indexOf(document.activeElement);
    part.innerHTML = html;
    all("details").forEach((details, i) => { details.open = open[i] ?? false; });
    all(".scroll").forEach((box, i) => { box.scrollLeft = scrolled[i] ?? 0; });
    if (focus >= 0) stops()[focus]?.focus({ preventScroll: true });
  }

  function settle() {
    for (const [id, html] of waiting) {
      const part = document.getElementById(id);
      if (part !== null && isSelected(part)) continue;
      waiting.delete(id);
      if (part !== null) replace(part, html);
    }
    const titled = document.querySelector("[data-title]");
    if (titled !== null) document.title = titled.dataset.title;
    arrange();
  }

  // The list as the reader wants it. Its own order, the latest first, is that of the page.
  function arrange() {
    const by = document.getElementById("order")?.value;
    const list = document.querySelector(".sorted");
    if (!by || list === null) return;
    const key = (card) => card.dataset[by] ?? "";
    const number = (card) => (key(card) === "" ? Infinity : (by === "accuracy" ? -1 : 1) * Number(key(card)));
    const before = by === "name" ? (a, b) => key(a).localeCompare(key(b), undefined, { numeric: true }) : (a, b) => number(a) - number(b);
    list.append(...[...list.children].sort(before));
  }

  function stop() {
    clearTimeout(again);
    source?.close();
    source = null;
  }

  function start() {
    stop();
    if (root.dataset.events === undefined) return;
    source = new EventSource(root.dataset.events);
    source.onopen = () => { root.dataset.live = "on"; };
    source.onmessage = (message) => {
      const { id, html } = JSON.parse(message.data);
      waiting.set(id, html);
      settle();
    };
    source.onerror = () => {
      root.dataset.live = "off";
      // The browser tries again by itself, unless the answer was no stream at all.
      if (source?.readyState === EventSource.CLOSED) again = setTimeout(start, 5000);
    };
  }

  // What is of use only with scripts.
  const order = document.getElementById("order");
  for (const part of document.querySelectorAll(".scripted")) part.hidden = false;
  order?.addEventListener("change", () => {
    // In its own order the list is as it last came.
    if (order.value === "") location.reload();
    arrange();
  });

  // A table is sorted by the column whose heading is chosen; again, the other way round.
  for (const heading of document.querySelectorAll(".board th")) {
    const column = [...heading.parentNode.children].indexOf(heading);
    const body = heading.closest("table").tBodies[0];
    const cells = () => [...body.rows].map((row) => row.cells[column]);
    if (cells().some((cell) => cell.dataset.v === undefined)) continue;
    const button = document.createElement("button");
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const down = heading.getAttribute("aria-sort") === "ascending";
      const words = cells().some((cell) => Number.isNaN(Number(cell.dataset.v)));
      const key = (row) => row.cells[column].dataset.v;
      const rows = [...body.rows].sort((a, b) => {
        const [x, y] = [key(a), key(b)];
        // What is not known stays at the end.
        if (x === "" || y === "") return (x === "") - (y === "");
        const order = words ? x.localeCompare(y, undefined, { numeric: true }) : Number(x) - Number(y);
        return down ? -order : order;
      });
      for (const other of heading.parentNode.children) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      body.append(...rows);
    });
  }

  // The values of all lines where the pointer is.
  const readout = document.createElement("p");
  readout.id = "readout";
  readout.hidden = true;
  // The tables below the charts say the same to those who do not point.
  readout.ariaHidden = "true";
  document.body.append(readout);

  function read(chart, event) {
    const frame = chart.querySelector(".frame");
    const numbers = (name) => frame.dataset[name].split(" ").map(Number);
    const [left, top, right, bottom] = numbers("box");
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(chart.getScreenCTM().inverse());
    if (at.x < left - 4 || at.x > right + 4 || at.y < top - 4 || at.y > bottom + 4) return null;
    const value = ([low, high], share) => low + share * (high - low);
    const lines = [...chart.querySelectorAll("path[data-name]")].map((path) => {
      const points = path.getAttribute("d").slice(1).split("L").map((pair) => pair.split(" ").map(Number));
      const nearest = points.reduce((a, b) => (Math.abs(b[0] - at.x) < Math.abs(a[0] - at.x) ? b : a));
      return { name: path.dataset.name, x: nearest[0], y: value(numbers("up"), (bottom - nearest[1]) / (bottom - top)) };
    });
    if (lines.length === 0) return null;
    const x = lines.map((line) => line.x).reduce((a, b) => (Math.abs(b - at.x) < Math.abs(a - at.x) ? b : a));
    const written = (y) => (frame.dataset.unit === "percent" ? `${(100 * y).toFixed(1)}\u00a0%` : y.toPrecision(3));
    const across = value(numbers("across"), (x - left) / (right - left));
    const here = lines.filter((line) => Math.abs(line.x - x) < 3);
    const head = `${frame.dataset.axis} ${Math.round(100 * across) / 100}`;
    return { x, top, bottom, text: [head, ...here.map((line) => `${line.name}: ${written(line.y)}`)].join("\n") };
  }

  function point(chart, found) {
    document.querySelector(".chart .pointer")?.remove();
    readout.hidden = found === null;
    if (found === null) return;
    const line = document.createElementNS(chart.namespaceURI, "path");
    line.setAttribute("class", "pointer");
    line.setAttribute("d", `M${found.x} ${found.top}V${found.bottom}`);
    chart.append(line);
    readout.textContent = found.text;
  }

  addEventListener("pointermove", (event) => {
    const chart = event.target.closest?.("svg.chart");
    const framed = chart?.querySelector(".frame") != null;
    const found = framed ? read(chart, event) : null;
    point(chart, found);
    if (found === null) return;
    // Beside the pointer, on the side where there is room.
    const { width, height } = readout.getBoundingClientRect();
    const x = event.clientX + 16 + width > innerWidth ? event.clientX - 16 - width : event.clientX + 16;
    readout.style.left = `${Math.max(4, x)}px`;
    readout.style.top = `${Math.max(4, Math.min(event.clientY + 16, innerHeight - height - 4))}px`;
  });

  // A browser keeps few connections to one server: tabs that nobody sees give theirs back.
  document.addEventListener("visibilitychange", () => (document.hidden ? stop() : start()));
  document.addEventListener("selectionchange", () => { if (waiting.size > 0) settle(); });
  addEventListener("pagehide", stop);
  addEventListener("pageshow", () => { if (source === null && !document.hidden) start(); });
  if (!document.hidden) start();
})();
