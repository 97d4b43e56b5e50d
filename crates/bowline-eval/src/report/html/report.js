"use strict";
// Filters the results; without this script all of them are shown.
const results = Array.from(document.querySelectorAll(".case"));
const search = document.getElementById("search");
const boxes = Array.from(document.querySelectorAll('input[name="state"]'));
const none = document.getElementById("none");

function filter() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const states = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
  let shown = 0;
  for (const result of results) {
    const text = result.textContent.toLowerCase();
    const fits = states.has(result.dataset.state) && words.every((word) => text.includes(word));
    result.hidden = !fits;
    shown += fits ? 1 : 0;
  }
  none.hidden = shown > 0;
}

document.querySelector(".filters").hidden = false;
search.addEventListener("input", filter);
boxes.forEach((box) => box.addEventListener("change", filter));
filter();
