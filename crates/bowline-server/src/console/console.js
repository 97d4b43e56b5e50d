// Asks for the middle part of the page again while the page is shown. Without it, the page is right but stands still.
"use strict";
(() => {
  const live = document.getElementById("live");
  const connection = document.getElementById("connection");
  const updated = () => live.querySelector(".updated");
  let shown = "";

  // Replacing text that someone is marking would take it away from under their hand.
  const marking = () => {
    const selection = document.getSelection();
    return selection && !selection.isCollapsed && live.contains(selection.anchorNode);
  };

  const replace = (text) => {
    const scrolled = Array.from(live.querySelectorAll(".scroll"), (box) => box.scrollLeft);
    const focused = document.activeElement;
    const places = () => Array.from(live.querySelectorAll("a, [tabindex]"));
    const place = live.contains(focused) ? places().indexOf(focused) : -1;
    live.innerHTML = text;
    live.querySelectorAll(".scroll").forEach((box, index) => { box.scrollLeft = scrolled[index] || 0; });
    if (place >= 0 && places()[place]) places()[place].focus({ preventScroll: true });
  };

  const refresh = async () => {
    const { source, every } = updated().dataset;
    if (!document.hidden && !marking()) {
      try {
        const answer = await fetch(source, { cache: "no-store", signal: AbortSignal.timeout(5000) });
        if (!answer.ok) throw new Error(String(answer.status));
        const text = await answer.text();
        if (text !== shown) replace(text);
        shown = text;
        connection.textContent = "";
      } catch {
        connection.textContent = "Not connected; trying again";
      }
    }
    if (updated()) {
      setTimeout(refresh, Number(every));
    } else {
      connection.textContent = "";
    }
  };

  if (updated()) setTimeout(refresh, Number(updated().dataset.every));
})();
