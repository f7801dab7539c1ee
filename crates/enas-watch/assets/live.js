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
  }

  function stop() {
    clearTimeout(again);
    source?.close();
    source = null;
  }

  function start() {
    stop();
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

  // A browser keeps few connections to one server: tabs that nobody sees give theirs back.
  document.addEventListener("visibilitychange", () => (document.hidden ? stop() : start()));
  document.addEventListener("selectionchange", () => { if (waiting.size > 0) settle(); });
  addEventListener("pagehide", stop);
  addEventListener("pageshow", () => { if (source === null && !document.hidden) start(); });
  if (!document.hidden) start();
})();
