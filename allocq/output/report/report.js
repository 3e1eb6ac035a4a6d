"use strict";
// The page is whole without this. It adds: search, sorting, a choice of lines, keys in the treemap.
(() => {
  const root = document.documentElement;
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const one = (selector, within = document) => within.querySelector(selector);
  root.classList.add("js");

  // Theme: as the system has it, dark, light.
  const theme = one("#theme");
  const themes = ["auto", "dark", "light"];
  theme.hidden = false;
  theme.addEventListener("click", () => {
    const next = themes[(themes.indexOf(root.dataset.theme || "auto") + 1) % themes.length];
    if (next === "auto") delete root.dataset.theme;
    else root.dataset.theme = next;
    theme.textContent = `Theme: ${next}`;
  });

  // Treemap: the address says which view is shown; here are the keys and where the focus goes.
  const views = all(".view");
  const shown = () => views.find((view) => getComputedStyle(view).display !== "none");
  const tiles = (view) => all("svg a", view);
  const aim = (tile) => {
    for (const other of tiles(shown())) other.setAttribute("tabindex", other === tile ? "0" : "-1");
  };
  for (const view of views) {
    tiles(view).forEach((tile, at) => tile.setAttribute("tabindex", at ? "-1" : "0"));
  }
  const middle = (tile) => {
    const box = one("rect", tile).getBoundingClientRect();
    return [box.x + box.width / 2, box.y + box.height / 2];
  };
  const beside = (tile, dx, dy) => {
    const [x, y] = middle(tile);
    let best = null, least = Infinity;
    for (const other of tiles(shown())) {
      const [ox, oy] = middle(other);
      const along = (ox - x) * dx + (oy - y) * dy;
      const across = Math.abs((ox - x) * dy) + Math.abs((oy - y) * dx);
      if (other !== tile && along > 1 && along + 2 * across < least) {
        least = along + 2 * across;
        best = other;
      }
    }
    return best;
  };
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const map = one(".map");
  let from = null, byKey = false;
  if (map) {
    map.addEventListener("keydown", (event) => {
      byKey = true;
      const tile = event.target.closest("svg a");
      if (event.key === "Escape") {
        const above = all(".crumbs a", shown()).at(-1);
        if (above) { from = null; above.click(); }
      } else if (tile && arrows[event.key]) {
        const next = beside(tile, ...arrows[event.key]);
        if (next) { aim(next); next.focus({ preventScroll: true }); }
        event.preventDefault();
      }
    });
    map.addEventListener("pointerdown", () => { byKey = false; });
    map.addEventListener("click", (event) => {
      const tile = event.target.closest("svg a");
      from = tile ? one("rect", tile).getBoundingClientRect() : null;
    });
    addEventListener("hashchange", () => {
      const view = shown();
      const drawn = one(":scope > svg", view);
      if (`#${view.id}` !== location.hash && location.hash !== "#m0") return;
      const first = tiles(view)[0] || one(".crumbs a", view);
      if (byKey && first) first.focus({ preventScroll: true });
      const to = drawn.getBoundingClientRect();
      if (from && !matchMedia("(prefers-reduced-motion: reduce)").matches) {
        const start = `translate(${from.x - to.x}px, ${from.y - to.y}px)`
          + ` scale(${from.width / to.width}, ${from.height / to.height})`;
        drawn.animate([{ transform: start, opacity: 0.4 }, { transform: "none", opacity: 1 }],
          { duration: 220, easing: "ease-out" });
      }
      from = null;
    });
  }

  // The table of all tags.
  const table = one("#all");
  const body = one("tbody", table);
  const rows = all("tr", body).map((row, at) => ({ row, at, text: row.textContent.toLowerCase() }));
  const search = one("#search"), found = one("#found");
  one(".search").hidden = false;
  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const { row, text } of rows) {
      row.hidden = !words.every((word) => text.includes(word));
      count += !row.hidden;
    }
    found.textContent = words.length ? `${count} of ${rows.length} tags` : "";
  };
  search.addEventListener("input", filter);
  const value = (cell) => {
    const digits = (cell.title || cell.textContent).replace(/[^0-9.-]/g, "");
    return parseFloat(digits) || 0;
  };
  all("th", table).forEach((head, column) => {
    const numeric = head.classList.contains("n");
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    if (!column) head.setAttribute("aria-sort", "descending");
    button.addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      const down = now ? now === "ascending" : numeric;
      for (const other of all("th", table)) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const keys = new Map(rows.map(({ row }) => {
        const cell = row.cells[column];
        return [row, numeric ? value(cell) : cell.textContent];
      }));
      const order = numeric ? (a, b) => a - b : (a, b) => (a < b ? -1 : a > b ? 1 : 0);
      const sign = down ? -1 : 1;
      rows.sort((a, b) => sign * order(keys.get(a.row), keys.get(b.row)) || a.at - b.at);
      body.append(...rows.map(({ row }) => row));
    });
  });

  // Plots: as plot.py draws them, with other lines.
  const format = (size) => {
    let number = Math.abs(size), unit = "";
    for (const letter of "KMGTPE") {
      if (number < 1024) break;
      number /= 1024;
      unit = letter;
    }
    return (size < 0 ? "-" : "") + (unit ? number.toFixed(1) : number) + unit;
  };
  for (const plot of all(".plot")) {
    const drawn = one(".lines", plot);
    const lines = all("polyline", drawn).map((line) => {
      const { low, high, first } = line.dataset;
      return { line, low: +low, high: +high, first: +first };
    });
    const boxes = all("input", plot);
    const redraw = () => {
      const chosen = lines.filter((_, at) => boxes[at].checked);
      lines.forEach(({ line }, at) => line.classList.toggle("off", !boxes[at].checked));
      const least = Math.min(0, ...chosen.map(({ low, first }) => low - first));
      const most = Math.max(0, ...chosen.map(({ high, first }) => high - first));
      let step = 1;
      while (most - least > 5 * step) step *= 2;
      const bottom = Math.floor(least / step) * step;
      const top = Math.max(Math.ceil(most / step) * step, bottom + step);
      const height = 1000 / (top - bottom);
      for (const { line, low, high, first } of chosen) {
        line.setAttribute("transform",
          `matrix(1 0 0 ${-(high - low) * height / 1000} 0 ${(top - low + first) * height})`);
      }
      const axis = one(".y", plot);
      const labels = [], grid = [];
      for (let tick = top; tick >= bottom; tick -= step) {
        const label = document.createElement("span");
        label.textContent = (tick > 0 ? "+" : "") + format(tick);
        labels.push(label);
        const rule = document.createElementNS("http://www.w3.org/2000/svg", "path");
        rule.setAttribute("d", `M0 ${(top - tick) * height}H1000`);
        rule.setAttribute("class", tick ? "grid" : "grid zero");
        grid.push(rule);
      }
      axis.replaceChildren(...labels);
      for (const rule of all(".grid", drawn)) rule.remove();
      drawn.prepend(...grid);
    };
    for (const box of boxes) box.addEventListener("change", redraw);
  }
})();
